#include "core/ranking.h"

#include <algorithm>
#include <limits>

#include <ATen/Parallel.h>

#include <interplay/base/error.h>

namespace interplay {

namespace {

constexpr size_t kSmall = 1 << 14;  // below this one plain sort is quicker than 2^16 counters
constexpr int kBucketBits = 16;     // sign, exponent and 7 bits of mantissa: over 100 buckets for each factor of two

uint64_t entry(std::span<const float> logit, size_t row) { return uint64_t(Ranking::key(logit[row])) << 32 | row; }

}  // namespace

// Rows are scattered into buckets by the top bits of their key, then each bucket is sorted where it lies: 8 bytes a row
// and no second buffer, which a radix sort over the whole key would need.
Ranking::Ranking(std::span<const float> logit) : entries_(logit.size()) {
  INTERPLAY_CHECK(logit.size() <= std::numeric_limits<uint32_t>::max(),
                  "{} rows to rank; a metric takes at most {}: evaluate a part of them", logit.size(),
                  std::numeric_limits<uint32_t>::max());
  if (logit.size() < kSmall) {
    for (size_t i = 0; i < logit.size(); ++i) entries_[i] = entry(logit, i);
    std::sort(entries_.begin(), entries_.end());
    return;
  }
  constexpr size_t buckets = size_t(1) << kBucketBits;
  std::vector<size_t> begin(buckets + 1);
  for (const float z : logit) ++begin[(key(z) >> (32 - kBucketBits)) + 1];
  for (size_t b = 0; b < buckets; ++b) begin[b + 1] += begin[b];
  std::vector<size_t> next(begin.begin(), begin.end() - 1);
  for (size_t i = 0; i < logit.size(); ++i) entries_[next[key(logit[i]) >> (32 - kBucketBits)]++] = entry(logit, i);
  at::parallel_for(0, int64_t(buckets), 256, [&](int64_t first, int64_t last) {
    for (int64_t b = first; b < last; ++b) {
      std::sort(entries_.begin() + int64_t(begin[b]), entries_.begin() + int64_t(begin[b + 1]));
    }
  });
}

}  // namespace interplay
