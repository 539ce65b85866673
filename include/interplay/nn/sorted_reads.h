#pragma once

#include <cstdint>
#include <span>

namespace interplay::nn {

/// Throws Error on an id outside 0 .. table_rows - 1.
void check_ids(const int32_t* ids, int64_t n, int64_t table_rows);

/// The distinct rows among the ids of one column, and where each was read.
struct SortedReads {
  std::span<const int32_t> rows;      ///< [U] ascending, without the padding row
  std::span<const int32_t> begin;     ///< [U + 1] into `position`
  std::span<const int32_t> position;  ///< reads of each row, ascending

  static int64_t room(int64_t n) { return 3 * (n + 2); }  ///< numbers that n reads need at `memory`
  /// ids i32 [n], `stride` apart. The spans lie in `memory`. Throws Error on an id outside 0 .. table_rows - 1.
  static SortedReads of(const int32_t* ids, int64_t stride, int64_t n, int64_t table_rows, int32_t* memory);
};

}  // namespace interplay::nn
