#include <interplay/nn/sorted_reads.h>

#include <algorithm>
#include <bit>
#include <utility>
#include <vector>

#include <interplay/base/error.h>

namespace interplay::nn {
namespace {

constexpr int32_t kPadding = 0;
constexpr int kMostDigitBits = 11;  // 2048 counters fit the first-level cache beside the keys

/// Working memory of one thread.
struct Scratch {
  std::vector<uint32_t> count;
  std::vector<int32_t> ids;
  std::vector<uint32_t> keys32[2];
  std::vector<uint64_t> keys64[2];
};

int id_bits_of(int64_t table_rows) { return std::bit_width(uint64_t(table_rows - 1)); }

template <class T>
T* room(std::vector<T>& v, size_t n) {
  if (v.size() < n) v.resize(n);
  return v.data();
}

/// `most`: the largest id, a negative one being larger than any.
void check_largest(uint32_t most, int64_t table_rows) {
  INTERPLAY_CHECK(most < table_rows,
                  "an embedding table of {0} rows was read at row {1}: ids are 0 (padding) to {2}; bring a model's own "
                  "ids into that range",
                  table_rows, int32_t(most), table_rows - 1);
}

/// Where the results go: room for n + 2 of each.
struct Out {
  int32_t *rows, *begin, *position;
  int64_t distinct = 0, reads = 0;
};

/// For tables of few rows: a counter a row.
void sort_by_counting(const int32_t* ids, int64_t stride, int64_t n, int64_t table_rows, Scratch& scratch, Out& out) {
  int32_t* const id = room(scratch.ids, size_t(n));
  uint32_t* const count = room(scratch.count, size_t(table_rows));
  std::fill_n(count, table_rows, 0u);
  uint32_t most = 0;
  for (int64_t i = 0; i < n; ++i) most = std::max(most, uint32_t(id[i] = ids[i * stride]));
  check_largest(most, table_rows);
  for (int64_t i = 0; i < n; ++i) ++count[id[i]];
  uint32_t at = 0;
  int64_t u = 0;
  for (int64_t row = kPadding + 1; row < table_rows; ++row) {  // without a branch: absent rows are overwritten
    const uint32_t reads = count[row];
    count[row] = at;
    out.rows[u] = int32_t(row);
    out.begin[u] = int32_t(at);
    at += reads;
    u += reads != 0;
  }
  out.distinct = u;
  out.reads = at;
  count[kPadding] = at;  // its reads go behind the others
  for (int64_t i = 0; i < n; ++i) out.position[count[id[i]]++] = int32_t(i);
}

/// Ids in the upper bits, positions in the lower: sorted by id, equal ids by position. A radix sort, stable from pass
/// to pass; small inputs are cheaper to compare.
template <class Key>
void sort_by_digits(const int32_t* ids, int64_t stride, int64_t n, int64_t table_rows, int position_bits,
                    std::vector<Key> (&memory)[2], Scratch& scratch, Out& out) {
  const int id_bits = id_bits_of(table_rows);
  Key* keys = room(memory[0], size_t(n));
  uint32_t most = 0;
  if (n < 256) {
    for (int64_t i = 0; i < n; ++i) {
      most = std::max(most, uint32_t(ids[i * stride]));
      keys[i] = Key(uint32_t(ids[i * stride])) << position_bits | Key(i);
    }
    check_largest(most, table_rows);
    std::sort(keys, keys + n);
  } else {
    Key* other = room(memory[1], size_t(n));
    const int passes = (id_bits + kMostDigitBits - 1) / kMostDigitBits, bits = (id_bits + passes - 1) / passes;
    const uint32_t digits = 1u << bits, mask = digits - 1;
    uint32_t* const count = room(scratch.count, size_t(passes) * digits);
    std::fill_n(count, size_t(passes) * digits, 0u);
    for (int64_t i = 0; i < n; ++i) {
      const auto id = uint32_t(ids[i * stride]);
      most = std::max(most, id);
      keys[i] = Key(id) << position_bits | Key(i);
      for (int pass = 0; pass < passes; ++pass) ++count[uint32_t(pass) * digits + ((id >> (pass * bits)) & mask)];
    }
    check_largest(most, table_rows);
    for (int pass = 0; pass < passes; ++pass) {
      uint32_t* const start = count + uint32_t(pass) * digits;
      uint32_t sum = 0;
      for (uint32_t d = 0; d < digits; ++d) sum += std::exchange(start[d], sum);
      const int shift = position_bits + pass * bits;
      for (int64_t i = 0; i < n; ++i) other[start[uint32_t(keys[i] >> shift) & mask]++] = keys[i];
      std::swap(keys, other);
    }
  }
  const Key position_mask = (Key(1) << position_bits) - 1;
  int64_t first = 0;
  while (first < n && int32_t(keys[first] >> position_bits) == kPadding) ++first;
  int64_t u = -1;
  int32_t last = kPadding;
  for (int64_t i = first; i < n; ++i) {
    const auto id = int32_t(keys[i] >> position_bits);
    const bool fresh = id != last;
    u += fresh;
    last = id;
    out.rows[u] = id;
    out.begin[u] = fresh ? int32_t(i - first) : out.begin[u];
    out.position[i - first] = int32_t(keys[i] & position_mask);
  }
  out.distinct = u + 1;
  out.reads = n - first;
}

}  // namespace

void check_ids(const int32_t* ids, int64_t n, int64_t table_rows) {
  uint32_t most = 0;
  for (int64_t i = 0; i < n; ++i) most = std::max(most, uint32_t(ids[i]));
  check_largest(most, table_rows);
}

SortedReads SortedReads::of(const int32_t* ids, int64_t stride, int64_t n, int64_t table_rows, int32_t* memory) {
  thread_local Scratch working;
  Scratch& scratch = working;  // looked up once
  Out out{memory, memory + (n + 2), memory + 2 * (n + 2)};
  const int position_bits = std::bit_width(uint64_t(n));
  if (table_rows <= 2 * n) {
    sort_by_counting(ids, stride, n, table_rows, scratch, out);
  } else if (id_bits_of(table_rows) + position_bits <= 32) {
    sort_by_digits(ids, stride, n, table_rows, position_bits, scratch.keys32, scratch, out);
  } else {
    sort_by_digits(ids, stride, n, table_rows, position_bits, scratch.keys64, scratch, out);
  }
  out.begin[out.distinct] = int32_t(out.reads);
  return {{out.rows, size_t(out.distinct)}, {out.begin, size_t(out.distinct) + 1}, {out.position, size_t(out.reads)}};
}

}  // namespace interplay::nn
