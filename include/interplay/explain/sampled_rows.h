#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include <interplay/core/model.h>
#include <interplay/core/predictions.h>
#include <interplay/data/dataset.h>

namespace interplay {

/// One logit of a model, as probabilities are made of it. The model has to be in eval mode, and stays with its owner.
struct INTERPLAY_API LabelLogit {
  Model& model;
  int64_t label = 0;  ///< its place in the schema
  double offset = 0;  ///< of that label: Bundle::logit_offsets()

  at::Tensor operator()(const Features& x) const;  ///< f32 [B], with its graph where gradients are on
};

/// Rows of a batch in any order, again and again where wanted: `rows` i64 [n].
INTERPLAY_API Features take_rows(const Features& x, const at::Tensor& rows);

/// Rows of a dataset in memory, whose fields can be exchanged for those of one another. Immutable.
///
///     const SampledRows rows(test, {.most = 20000});
///     const Features x = rows.take(all, {"genre"}, shuffled);   // every row with the genre of another
class INTERPLAY_API SampledRows {
 public:
  struct Options {
    int64_t most = 0;   ///< rows drawn, without replacement; 0 = all
    int64_t label = 0;  ///< rows that lack this label have no part
    uint64_t seed = 1;
  };
  SampledRows(const Dataset& dataset, const Options& options);
  explicit SampledRows(const Dataset& dataset) : SampledRows(dataset, Options()) {}

  int64_t rows() const { return int64_t(places_.size()); }        ///< N
  const std::vector<int64_t>& places() const { return places_; }  ///< [N] rows of the dataset, ascending
  const Schema& schema() const { return schema_; }
  std::span<const float> label() const { return label_; }    ///< [N] of Options::label
  std::span<const float> weight() const { return weight_; }  ///< [N], or empty
  const Features& features() const { return features_; }

  static constexpr int64_t kBatchRows = 4096;  ///< scored at a time

  /// `rows` i64 [n]: these rows, in this order.
  Features take(const at::Tensor& rows) const { return take_rows(features_, rows); }
  /// Row i is rows[i] with these fields of donors[i], i64 [n] too: as a whole, entries of sequences and all. Sequences
  /// that are paired have to be named together. Throws Error on a name that is no field.
  Features take(const at::Tensor& rows, const std::vector<std::string>& fields, const at::Tensor& donors) const;

  /// The logit of every row, with these fields of its donor.
  std::vector<float> logits(const LabelLogit& logit, const std::vector<std::string>& fields = {},
                            const at::Tensor& donors = {}) const;

 private:
  Schema schema_;
  std::vector<int64_t> places_;
  Features features_;
  std::vector<float> label_, weight_;
};

/// Fields that are looked at as one.
struct FieldGroup {
  std::string name;
  std::vector<std::string> fields;
};
/// A group a field, in the schema's order; a sequence with those that are paired with it is one.
INTERPLAY_API std::vector<FieldGroup> each_field(const Schema& schema);
/// `item=item_id,genre;user=user_id,age`, or a YAML file with a map from name to list of fields. Throws Error on a name
/// that is no field, and where a group has a sequence without those that are paired with it.
INTERPLAY_API std::vector<FieldGroup> read_groups(const std::string& text, const Schema& schema);

}  // namespace interplay
