#pragma once

#include <cstdint>

/// For inner loops, also those of a plugin's rules (optim/row_rule.h). GCC or Clang, on x86-64.
///
/// A function compiled three times, for AVX-512, AVX2 and any x86-64; the loader picks when the program starts. What it
/// calls must be inlined into it (INTERPLAY_INLINE) to be compiled along.
#if defined(__SANITIZE_THREAD__) || defined(__clang__)  // not there yet when the loader picks; not of templates
#define INTERPLAY_CLONES
#else
#define INTERPLAY_CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#endif
#define INTERPLAY_INLINE [[gnu::always_inline]] inline
#define INTERPLAY_INLINE_LAMBDA __attribute__((always_inline))

namespace interplay::simd {

/// Sixteen floats, in one register, two or four. Written with the compiler's vector types, since plain loops over small
/// arrays of a fixed size are taken apart into scalars.
using Floats = float __attribute__((vector_size(64)));
using LooseFloats = float __attribute__((vector_size(64), aligned(4), may_alias));
using Ints = int32_t __attribute__((vector_size(64)));
constexpr int64_t kLanes = 16;

INTERPLAY_INLINE Floats load(const float* from) { return *reinterpret_cast<const LooseFloats*>(from); }
INTERPLAY_INLINE void store(float* to, Floats v) { *reinterpret_cast<LooseFloats*>(to) = v; }
INTERPLAY_INLINE Floats fill(float x) { return Floats{} + x; }
/// The first `count` lanes, the others zero. All sixteen floats are read.
INTERPLAY_INLINE Floats load_first(const float* from, int64_t count) {
  if (count >= kLanes) return load(from);
  constexpr Ints kPlace{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
  return reinterpret_cast<Floats>(reinterpret_cast<Ints>(load(from)) & (kPlace < int32_t(count)));
}
/// Writes the first `count` lanes and no more.
INTERPLAY_INLINE void store_first(float* to, Floats v, int64_t count) {
  if (count >= kLanes) return store(to, v);
  for (int64_t i = 0; i < count; ++i) to[i] = v[i];
}
/// In the order of a tree, whatever the processor: the same sum everywhere. Halves of a vector are named by shuffles,
/// since the compiler takes sums of lanes apart.
INTERPLAY_INLINE float sum(Floats v) {
  const auto eight = __builtin_shufflevector(v, v, 0, 1, 2, 3, 4, 5, 6, 7) +
                     __builtin_shufflevector(v, v, 8, 9, 10, 11, 12, 13, 14, 15);
  const auto four =
      __builtin_shufflevector(eight, eight, 0, 1, 2, 3) + __builtin_shufflevector(eight, eight, 4, 5, 6, 7);
  return (four[0] + four[2]) + (four[1] + four[3]);
}

}  // namespace interplay::simd
