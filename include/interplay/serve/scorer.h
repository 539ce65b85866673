#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <interplay/data/dataset.h>
#include <interplay/data/raw.h>
#include <interplay/data/schema.h>

namespace interplay {

/// Raw values in, P(click) out, from a bundle: the encoder, the vocabularies and the model that training left there.
/// Immutable: any number of threads may score at once. Results are those of `interplay eval`: to the byte at the same
/// batch size, within 1e-6 at any.
///
///     const auto scorer = Scorer::load("runs/deepfm");
///     const auto p = scorer.score({{{"user_id", "259"}, {"item_id", "255"}, {"hist_item_ids", "12^7"}}});
class INTERPLAY_API Scorer {
 public:
  static Scorer load(const std::filesystem::path& run);

  const Schema& schema() const;
  std::vector<std::string> columns() const;  ///< raw columns that a row must have, named as in the raw files

  /// Rows as column -> cell. An empty cell, or one that other rows have, is a missing value; a column of columns() that
  /// no row has is an error. Further cells are ignored.
  using Row = std::map<std::string, std::string>;
  std::vector<float> score(const std::vector<Row>& rows) const;
  /// A batch of raw columns. f32 [rows], or [rows * T] for T labels, row by row.
  std::vector<float> score(const RawBatch& rows) const;
  std::vector<float> logits(const RawBatch& rows) const;
  /// Prepared data, in order, `batch_size` rows at a time. Throws Error(data) unless its ids mean what they meant in
  /// training.
  std::vector<float> score(const Dataset& dataset, int64_t batch_size = 16384) const;

 private:
  struct State;
  std::shared_ptr<const State> state_;
};

}  // namespace interplay
