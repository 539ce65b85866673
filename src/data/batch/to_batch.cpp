#include <interplay/data/encoded_batch.h>

#include <vector>

#include <interplay/data/features.h>

#include "data/batch/gather.h"

namespace interplay {

Batch to_batch(const EncodedBatch& rows, const Schema& schema) {
  const RowBlock block = block_of(rows, schema, "encoded rows");
  std::vector<RowAt> all(static_cast<size_t>(block.rows));
  for (int64_t row = 0; row < block.rows; ++row) all[size_t(row)] = {&block, row};
  return gather_rows(all, Projection(schema), columns_of(rows));
}

Features to_features(const EncodedBatch& rows, const Schema& schema) { return to_batch(rows, schema).features; }

}  // namespace interplay
