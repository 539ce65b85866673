#pragma once

#include <functional>

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <interplay/base/simd.h>
#include <interplay/nn/bf16.h>
#include <interplay/nn/dense_rows.h>
#include <interplay/nn/plain_scope.h>

/// What the passes over rows of a decoder's layers share. Private to their sources.
namespace interplay::lm {

using nn::mutable_numbers;
using nn::numbers;
using nn::detail::narrow_to;
using nn::detail::wide;
using simd::Floats;

/// Whether a pass is done in one, rather than by ATen.
inline bool is_fused(const at::Tensor& x) {
  return x.is_cpu() && !nn::PlainScope::active() && (x.scalar_type() == at::kFloat || x.scalar_type() == at::kBFloat16);
}

/// Calls f with a null pointer of the type that holds the numbers of `type`.
template <class F>
void for_type(at::ScalarType type, const F& f) {
  type == at::kFloat ? f(static_cast<float*>(nullptr)) : f(static_cast<uint16_t*>(nullptr));
}

inline void parallel_rows(int64_t rows, const std::function<void(int64_t, int64_t)>& work) {
  constexpr int64_t kGrain = 16;
  at::parallel_for(0, rows, kGrain, work);
}

/// e^x to about two units in the last place, for x in [-87, 88]; x is brought into it. Cody and Waite's reduction, the
/// polynomial of Cephes' expf.
INTERPLAY_INLINE Floats exp(Floats x) {
  const Floats low = simd::fill(-87.f), high = simd::fill(88.f);
  x = x < low ? low : x;
  x = x > high ? high : x;
  constexpr float kRound = 12582912.f;  // 1.5 * 2^23: adding it leaves the nearest integer in the low bits
  const Floats shifted = x * 1.44269504088896341f + kRound;
  const Floats n = shifted - kRound;
  const Floats r = x - n * 0.693359375f + n * 2.12194440e-4f;
  Floats p = simd::fill(1.9875691500e-4f);
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * r * r + r + 1.f;
  const simd::Ints power = (reinterpret_cast<simd::Ints>(shifted) << 23) + (127 << 23);
  return p * reinterpret_cast<Floats>(power);
}

}  // namespace interplay::lm
