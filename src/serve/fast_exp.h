#pragma once

#include <bit>
#include <cstdint>

#include <interplay/base/simd.h>

namespace interplay {

/// e^x within 2 units of the last place, without a branch or a call, so that a loop of it is compiled to vectors; below
/// -87 what e^-87 is, above 88 what e^88 is. By Cephes' polynomial on [-ln 2 / 2, ln 2 / 2]. Make one before the loop.
class FastExp {
 public:
  INTERPLAY_INLINE float operator()(float x) const {
    x = x < least_ ? least_ : x;
    x = x > most_ ? most_ : x;
    constexpr float kRound = 12582912;  // 1.5 * 2^23: what is added to it is rounded to whole numbers
    const float shifted = x * 1.44269504f + kRound;
    const float n = shifted - kRound;
    const float r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
    float p = r * 1.9875691500e-4f + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * (r * r) + r + 1.f;
    const uint32_t power = (std::bit_cast<uint32_t>(shifted) << 23) + (127u << 23);
    return p * std::bit_cast<float>(power);
  }
  INTERPLAY_INLINE float sigmoid(float x) const { return 1.f / (1.f + (*this)(-x)); }

 private:
  /// A number that the compiler does not know: knowing the bounds, it would branch on them.
  INTERPLAY_INLINE static float hidden(float x) {
    asm("" : "+x"(x));
    return x;
  }
  float least_ = hidden(-87), most_ = hidden(88);
};

}  // namespace interplay
