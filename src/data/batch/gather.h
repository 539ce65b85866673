#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include <interplay/data/features.h>
#include <interplay/data/schema.h>

#include "data/store/row_block.h"

namespace interplay {

/// One row of a block.
struct RowAt {
  const RowBlock* block;
  int64_t row;
};

/// Where the fields and labels of one schema lie in the rows of another: which source column each one reads.
struct Projection {
  Schema schema;             ///< of the result
  int64_t ids_width = 0;     ///< F of the source
  int64_t dense_width = 0;   ///< D of the source
  int64_t labels_width = 0;  ///< T of the source
  std::vector<int64_t> ids, dense, sequences, vectors, texts, labels;

  /// Throws Error(config) unless `to` keeps fields and labels of `from` as they are.
  Projection(const Schema& from, const Schema& to);
  explicit Projection(const Schema& schema) : Projection(schema, schema) {}
};

/// Copies rows, in this order, into tensors of their own.
Batch gather_rows(std::span<const RowAt> rows, const Projection& projection, RowColumns columns);

}  // namespace interplay
