#include "optim/row_math.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include <interplay/base/simd.h>

namespace interplay {
namespace {

/// g = or += l2 w + l1 sign(w) for rows of a table, g [count, width].
template <bool kAdd>
INTERPLAY_INLINE void penalty_rows(const float* w, int64_t stride, const int32_t* index, float* g, int64_t count,
                                   int64_t width, float l2, float l1) {
  for (int64_t r = 0; r < count; ++r, g += width) {
    const float* const row = w + (index ? index[r] : r) * stride;
    if (l1 == 0) {
      for (int64_t k = 0; k < width; ++k) g[k] = (kAdd ? g[k] : 0) + l2 * row[k];
    } else {
      for (int64_t k = 0; k < width; ++k)
        g[k] = (kAdd ? g[k] : 0) + l2 * row[k] + l1 * float((row[k] > 0) - (row[k] < 0));
    }
  }
}

}  // namespace

INTERPLAY_CLONES void add_penalty(const float* w, int64_t stride, const int32_t* index, float* g, int64_t count,
                                  int64_t width, float l2, float l1) {
  penalty_rows<true>(w, stride, index, g, count, width, l2, l1);
}

INTERPLAY_CLONES void set_penalty(const float* w, const float* row_at, int64_t stride, float* g, int64_t count,
                                  int64_t width, float l2, float l1) {
  const auto bytes = stride * int64_t(sizeof(float));
  const char* next = reinterpret_cast<const char*>(row_at + count * stride);
  for (int64_t r = 0; r < count; ++r, w += stride, g += width, next += bytes) {
    for (int64_t byte = 0; byte < bytes; byte += 64) __builtin_prefetch(next + byte, 1, 3);
    if (width == 16) {
      penalty_rows<false>(w, stride, nullptr, g, 1, 16, l2, l1);
    } else {
      penalty_rows<false>(w, stride, nullptr, g, 1, width, l2, l1);
    }
  }
}

INTERPLAY_CLONES double norm2(const float* w, int64_t stride, const int32_t* index, int64_t count, int64_t width) {
  using Eight = float __attribute__((vector_size(32), aligned(4), may_alias));
  using Doubles = double __attribute__((vector_size(64)));
  const auto at = [](const float* from) INTERPLAY_INLINE_LAMBDA {
    return __builtin_convertvector(*reinterpret_cast<const Eight*>(from), Doubles);
  };
  Doubles even{}, odd{};
  double rest = 0;
  for (int64_t r = 0; r < count; ++r) {
    const float* const row = w + (index ? index[r] : r) * stride;
    int64_t k = 0;
    for (; k + 16 <= width; k += 16) {
      const Doubles a = at(row + k), b = at(row + k + 8);
      even += a * a;
      odd += b * b;
    }
    for (; k < width; ++k) rest += double(row[k]) * double(row[k]);
  }
  const Doubles both = even + odd;
  for (int i = 0; i < 8; ++i) rest += both[i];
  return rest;
}

INTERPLAY_CLONES bool all_finite(const float* numbers, int64_t count) {
  constexpr int64_t kLanes = 16;
  float sums[kLanes] = {};
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    for (int64_t k = 0; k < kLanes; ++k) sums[k] += 0 * numbers[i + k];
  }
  for (; i < count; ++i) sums[0] += 0 * numbers[i];
  return std::accumulate(sums, sums + kLanes, 0.0f) == 0;
}

int64_t first_not_finite(const float* numbers, int64_t count) {
  return std::find_if(numbers, numbers + count, [](float x) { return !std::isfinite(x); }) - numbers;
}

}  // namespace interplay
