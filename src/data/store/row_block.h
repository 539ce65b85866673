#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <interplay/data/encoded_batch.h>
#include <interplay/data/schema.h>

namespace interplay {

/// Consecutive rows in memory that somebody else owns: a record batch of a mapped file, or an EncodedBatch. A pointer
/// is null where the schema has no such fields or the rows have no such column.
struct RowBlock {
  struct Ragged {
    const int32_t* ids = nullptr;      ///< [total]
    const int32_t* offsets = nullptr;  ///< [rows + 1], from 0
    const float* weights = nullptr;    ///< [total], or null
    int64_t total = 0;
  };
  struct Text {
    Ragged tokens;                    ///< without weights
    const int8_t* columns = nullptr;  ///< [total]
  };
  int64_t rows = 0;
  const int32_t* ids = nullptr;       ///< [rows, F]
  const float* dense = nullptr;       ///< [rows, D]
  std::vector<Ragged> sequences;      ///< one a sequence field
  std::vector<const float*> vectors;  ///< one a vector field, [rows, dimension]
  std::vector<Text> texts;            ///< one a text field
  const float* labels = nullptr;      ///< [rows, T]
  const float* weight = nullptr;      ///< [rows]
  const int64_t* group = nullptr;     ///< [rows]
  const double* time = nullptr;       ///< [rows]
  std::shared_ptr<const void> owner;  ///< keeps the above alive
};

/// Which of the columns that are not fields the rows have.
struct RowColumns {
  bool labels = true, weight = false, group = false, time = false;
  bool operator==(const RowColumns&) const = default;
};

/// Throws Error(data), beginning with `place`, unless every id lies in its table, offsets rise from 0 to the total,
/// paired sequences have the same offsets, and tokens come from columns that there are.
INTERPLAY_API void check_block(const RowBlock& block, const Schema& schema, const std::string& place);

/// Throws Error(data), beginning with `place`, unless every part of `batch` has the size that `schema` and `columns`
/// ask.
INTERPLAY_API void check_sizes(const EncodedBatch& batch, const Schema& schema, RowColumns columns,
                               const std::string& place);

/// The columns that a batch has, going by what is not empty.
INTERPLAY_API RowColumns columns_of(const EncodedBatch& batch);

/// A view of `batch`, which the block then owns; sizes, ids and offsets are checked.
INTERPLAY_API RowBlock block_of(EncodedBatch batch, const Schema& schema, const std::string& place);

}  // namespace interplay
