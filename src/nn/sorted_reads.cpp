#include "nn/sorted_reads.h"

#include <algorithm>
#include <bit>
#include <utility>

namespace interplay::nn {
namespace {

constexpr int32_t kPadding = 0;
constexpr int kDigitBits = 11;  // 2048 counters fit the first-level cache beside the keys
constexpr size_t kDigits = size_t(1) << kDigitBits;

/// Ids in the upper half, positions in the lower: sorted by id, equal ids by position. A radix sort, stable from pass
/// to pass; small inputs with large ids are cheaper to compare.
void sort_keys(std::vector<uint64_t>& keys, int64_t table_rows) {
  const int bits = std::bit_width(uint64_t(table_rows));
  const int passes = (bits + kDigitBits - 1) / kDigitBits;
  if (keys.size() < 256) {
    std::sort(keys.begin(), keys.end());
    return;
  }
  thread_local std::vector<uint64_t> other;
  other.resize(keys.size());
  for (int pass = 0; pass < passes; ++pass) {
    const int shift = 32 + pass * kDigitBits;
    uint32_t start[kDigits] = {};
    for (const uint64_t key : keys) ++start[(key >> shift) & (kDigits - 1)];
    uint32_t sum = 0;
    for (uint32_t& s : start) sum += std::exchange(s, sum);
    for (const uint64_t key : keys) other[start[(key >> shift) & (kDigits - 1)]++] = key;
    keys.swap(other);
  }
}

}  // namespace

SortedReads SortedReads::of(const int32_t* ids, int64_t stride, int64_t n, int64_t table_rows) {
  thread_local std::vector<uint64_t> keys;
  keys.clear();
  for (int64_t i = 0; i < n; ++i) {
    const int32_t id = ids[i * stride];
    if (id != kPadding) keys.push_back(uint64_t(uint32_t(id)) << 32 | uint64_t(i));
  }
  sort_keys(keys, table_rows);
  SortedReads out;
  out.position.resize(keys.size());
  out.rows.reserve(keys.size());
  out.begin.reserve(keys.size() + 1);
  int32_t last = kPadding;
  for (size_t i = 0; i < keys.size(); ++i) {
    const auto id = int32_t(keys[i] >> 32);
    if (id != last) {
      out.rows.push_back(id);
      out.begin.push_back(int32_t(i));
      last = id;
    }
    out.position[i] = int32_t(uint32_t(keys[i]));
  }
  out.begin.push_back(int32_t(keys.size()));
  return out;
}

}  // namespace interplay::nn
