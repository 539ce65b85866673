#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <interplay/data/dataset.h>
#include <interplay/data/field_values.h>
#include <interplay/data/raw_batch.h>
#include <interplay/data/schema.h>

namespace interplay {

class BadRows;
class Bundle;
class Ranker;

/// Raw values in, P(click) out, from a bundle: the encoder, the vocabularies and the model that training left there.
/// Immutable: any number of threads may score at once.
///
///     const auto scorer = Scorer::load("runs/deepfm");
///     const auto p = scorer.score({{{"user_id", "259"}, {"item_id", "255"}, {"hist_item_ids", "12^7"}}});
///
/// Results are those of `interplay eval` in fp32: p within 1e-6 at any batch size, and to the byte at the same one
/// above kSmallBatch rows. Smaller batches, and all that a Ranker scores, run compiled: when a model is loaded, one
/// forward pass is watched and becomes a list of steps over the weights, without autograd, dispatcher or tensors, in
/// which a row's result does not depend on the other rows. A model of which that cannot be done (fallback_reason())
/// runs as it is, at every size.
///
/// A calibrated run (interplay/core/calibration.h) gives calibrated probabilities; logits() are theirs, so that p is
/// the sigmoid of the logit with a calibration as without, and those of the model itself are what `eval --raw` has.
class INTERPLAY_API Scorer {
 public:
  static constexpr int64_t kSmallBatch = 32;  ///< rows

  static Scorer load(const std::filesystem::path& run);
  /// Of Bundle::open_unread(): a finished run of gigabytes, at once. Bundle::check_weights() is to follow.
  static Scorer load_unread(const std::filesystem::path& run);

  const Schema& schema() const;
  std::vector<std::string> columns() const;  ///< raw columns that a row must have, named as in the raw files
  std::string separator(const std::string& column) const;     ///< between entries of a cell; "" where it is one value
  bool holds_whole_numbers(const std::string& column) const;  ///< see Encoder
  /// Empty where the model runs compiled, else what stands against it ("aten::bmm has no step").
  const std::string& fallback_reason() const;

  /// Rows as column -> cell. An empty cell, or one that other rows have, is a missing value; a column of columns() that
  /// no row has is an error. Further cells are ignored.
  using Row = std::map<std::string, std::string>;
  std::vector<float> score(const std::vector<Row>& rows) const;
  /// A batch of raw columns. f32 [rows], or [rows * T] for T labels, row by row.
  std::vector<float> score(const RawBatch& rows) const;
  std::vector<float> logits(const RawBatch& rows) const;
  /// The same, but rows that cannot be used are told to `bad_rows` and left out; `kept` gets the places of the others.
  std::vector<float> score(const RawBatch& rows, BadRows& bad_rows, std::vector<int64_t>& kept) const;
  std::vector<float> logits(const RawBatch& rows, BadRows& bad_rows, std::vector<int64_t>& kept) const;
  /// Prepared data, in order, `batch_size` rows at a time. Throws Error(data) unless its ids mean what they meant in
  /// training.
  std::vector<float> score(const Dataset& dataset, int64_t batch_size = 4096) const;
  std::vector<float> logits(const Dataset& dataset, int64_t batch_size = 4096) const;

  /// How far each field of schema() knows its values in these rows, for watching a server; nothing is scored.
  std::vector<FieldValues> count_values(const RawBatch& rows) const;

  /// One user's candidates: `user` holds the cells that are the same for all of them, each candidate the others. For
  /// more than a few requests a second, or without copies of names, use a Ranker.
  std::vector<float> score(const Row& user, const std::vector<Row>& candidates) const;
  /// For requests in which `user_columns` are the same for all rows. Throws Error unless they are among columns().
  Ranker ranker(const std::vector<std::string>& user_columns) const;

 private:
  friend class Ranker;
  struct State;
  static Scorer of(const Bundle& bundle);
  std::shared_ptr<const State> state_;
};

/// Scores one user's candidates: what the user's columns say is encoded, looked up and computed once a request, and a
/// layer over all columns is split, so that a candidate costs only what is its own. Immutable: any number of threads
/// may score at once; each has memory of its own, and once that has grown, nothing is allocated but what a history's or
/// a vector's cells are parsed into.
///
///     const Ranker ranker = scorer.ranker({"user_id", "age"});
///     // candidate_columns(): item_id, category
///     std::vector<float> p(2);
///     ranker.score({{"259", "24"}}, {{"255", "Drama", "7", "Comedy"}}, p);
class INTERPLAY_API Ranker {
 public:
  const std::vector<std::string>& user_columns() const;       ///< in the order they were given
  const std::vector<std::string>& candidate_columns() const;  ///< the rest of Scorer::columns(), in its order

  /// `user`: one cell a user column; `candidates`: one a candidate column, row after row; `p`: f32 [rows * T]. An empty
  /// cell is a missing value. Throws Error where the sizes do not fit, and Error(data) as Scorer::score() does.
  void score(std::span<const std::string_view> user, std::span<const std::string_view> candidates,
             std::span<float> p) const;
  std::vector<float> score(std::span<const std::string_view> user, std::span<const std::string_view> candidates) const;

 private:
  friend class Scorer;
  struct State;
  std::shared_ptr<const State> state_;
};

}  // namespace interplay
