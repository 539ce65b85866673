#pragma once

#include <cstdint>

#include <interplay/base/simd.h>

/// bf16 numbers as their bits, sixteen at a time.
namespace interplay::simd {

using Bits = uint32_t __attribute__((vector_size(64)));
using Halves = uint16_t __attribute__((vector_size(32)));
using LooseHalves = uint16_t __attribute__((vector_size(32), aligned(2), may_alias));

INTERPLAY_INLINE Floats widen(Halves h) { return (Floats)(__builtin_convertvector(h, Bits) << 16); }
/// To the nearest, ties to even, as ATen does.
INTERPLAY_INLINE Halves narrow(Floats f) {
  const Bits bits = (Bits)f;
  return __builtin_convertvector((bits + 0x7fff + ((bits >> 16) & 1)) >> 16, Halves);
}
INTERPLAY_INLINE Halves load_halves(const uint16_t* from) { return *reinterpret_cast<const LooseHalves*>(from); }
INTERPLAY_INLINE void store_halves(uint16_t* to, Halves v) { *reinterpret_cast<LooseHalves*>(to) = v; }
INTERPLAY_INLINE Floats load(const uint16_t* from) { return widen(load_halves(from)); }
INTERPLAY_INLINE void store(uint16_t* to, Floats v) { store_halves(to, narrow(v)); }

INTERPLAY_INLINE float widen(uint16_t h) { return __builtin_bit_cast(float, uint32_t(h) << 16); }
INTERPLAY_INLINE uint16_t narrow(float f) {
  const auto bits = __builtin_bit_cast(uint32_t, f);
  return uint16_t((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

}  // namespace interplay::simd
