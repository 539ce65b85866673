#pragma once

#include <cstdint>
#include <vector>

namespace interplay::nn {

/// The distinct rows among the ids of one column, and where each was read.
struct SortedReads {
  std::vector<int32_t> rows;      ///< [U] ascending, without the padding row
  std::vector<int32_t> begin;     ///< [U + 1] into `position`
  std::vector<int32_t> position;  ///< reads of each row, ascending

  /// ids i32 [n], `stride` apart; all below `table_rows`.
  static SortedReads of(const int32_t* ids, int64_t stride, int64_t n, int64_t table_rows);
};

}  // namespace interplay::nn
