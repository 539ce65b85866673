#pragma once

#include <string>

#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>

#include <interplay/data/features.h>
#include <interplay/data/keyed_vectors.h>
#include <interplay/data/schema.h>
#include <interplay/nn/attention.h>

namespace interplay {

/// Vectors by key as a layer: one for each row of the table that a field reads, zero where the file has none. They
/// never move and have no optimizer state; they are saved with the weights, from which a run has them.
///
///     VectorTable titles(schema, "item_id", {.from = "items.parquet"});
///     at::Tensor v = titles->field(x, schema.field("item_id"));       // [B, D]
///     nn::SequenceVectors past = titles->sequence(x, schema.field("hist_item_ids"));   // [N, D]: of the same table
///
/// Thread safety: as other layers.
class INTERPLAY_API VectorTableImpl : public torch::nn::Module {
 public:
  /// Throws Error where the field reads no table, and what VectorBook::of() throws.
  VectorTableImpl(const Schema& schema, const std::string& field, const VectorSource& source);

  at::Tensor forward(const at::Tensor& ids);                            ///< i32 [...] -> f32 [..., D]
  at::Tensor field(const Features& x, const Field& field);              ///< f32 [B, D]; of a sequence, pooled
  nn::SequenceVectors sequence(const Features& x, const Field& field);  ///< entries [N, D], not pooled
  int64_t width() const { return vectors_.size(1); }                    ///< D
  const std::string& table() const { return table_; }                   ///< fields have to read this one
  const at::Tensor& vectors() const { return vectors_; }                ///< f32 [rows, D]
  const at::Tensor& has() const { return has_; }                        ///< bool [rows]: where the file has one

 private:
  std::string table_;
  at::Tensor vectors_, has_;
};
TORCH_MODULE(VectorTable);

}  // namespace interplay
