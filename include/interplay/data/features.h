#pragma once

#include <cstdint>
#include <vector>

#include <ATen/core/Tensor.h>

#include <interplay/base/api.h>

namespace interplay {

struct EncodedBatch;
class Schema;

/// A ragged batch of ids: row b owns entries [offsets[b], offsets[b+1]).
struct Sequence {
  at::Tensor ids;      ///< i32 [total], local to the field's table
  at::Tensor offsets;  ///< i64 [B + 1]; the same tensor for sequences that are paired
  at::Tensor weights;  ///< f32 [total], or undefined
};

/// A ragged batch of texts, as token ids: row b owns tokens [offsets[b], offsets[b+1]).
struct Tokens {
  at::Tensor ids;      ///< i32 [total], of the field's tokenizer
  at::Tensor offsets;  ///< i64 [B + 1]
  at::Tensor columns;  ///< i8 [total]: index in Field::text_columns of what the token came from; -1: no column
};

/// What a model may see of a batch: never a label. Plain tensors, indexed by Field::column.
struct Features {
  at::Tensor ids;                   ///< i32 [B, F] categorical fields, local to each field's table
  at::Tensor dense;                 ///< f32 [B, D] numeric fields
  std::vector<Sequence> sequences;  ///< one a sequence field
  std::vector<at::Tensor> vectors;  ///< one a vector field, f32 [B, dimension]
  std::vector<Tokens> tokens;       ///< one a text field
  int64_t rows = 0;                 ///< B

  INTERPLAY_API Features to(at::Device device) const;  ///< sequences that are paired still share their offsets
};

/// Features and what is learnt from them.
struct Batch {
  Features features;
  at::Tensor labels;  ///< f32 [B, T], or undefined where the rows have none
  at::Tensor weight;  ///< f32 [B], or undefined
  at::Tensor group;   ///< i64 [B], or undefined
  int64_t rows() const { return features.rows; }
  INTERPLAY_API Batch to(at::Device device) const;
};

/// Encoded rows as tensors of their own. Throws Error(data) where they do not fit the schema: sizes, ids, offsets.
INTERPLAY_API Features to_features(const EncodedBatch& rows, const Schema& schema);
INTERPLAY_API Batch to_batch(const EncodedBatch& rows, const Schema& schema);

}  // namespace interplay
