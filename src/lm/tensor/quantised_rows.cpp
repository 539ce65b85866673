#include "lm/tensor/quantised_rows.h"

#include <array>
#include <cmath>
#include <cstring>
#include <limits>

#include <immintrin.h>  // declares the built-ins

#include <interplay/base/error.h>
#include <interplay/base/simd.h>

namespace interplay::lm {
namespace {

constexpr int64_t kBlock = kQuantisedBlock;
constexpr float kWhole = 0x1.8p23f;  // beside which a float has no fraction: adding it rounds to the nearest
constexpr int64_t kSums = 8;         // of a dot product, apart until its end

/// Of a number that is finite, exact: the bits of its exponent lie 112 too low.
float from_half(const char* at) {
  int16_t half;
  std::memcpy(&half, at, 2);
  return std::bit_cast<float>(uint32_t(int32_t(half)) << 13 & 0x8fffe000u) * 0x1p112f;
}

/// Offsets of blocks, and sums of x, have zeros behind them up to a multiple of kSums.
constexpr int64_t padded(int64_t blocks) { return (blocks + kSums - 1) / kSums * kSums; }

constexpr int64_t code_bytes(Quantised kind) { return kind == Quantised::q4 ? kBlock / 2 : kBlock; }

/// A row of W as it is held.
struct Row {
  const char* codes;
  const float* scales;
  const float* offsets;
};

Row row_at(Quantised kind, const char* row, int64_t blocks) {
  const auto* const scales = reinterpret_cast<const float*>(row + blocks * code_bytes(kind));
  return {row, scales, scales + blocks};
}

/// The rows of x that a tile reads.
struct Few {
  const int16_t* codes;
  const float* scales;
  const float* sums;
  int64_t blocks;
};

/// x = scale codes, but for the rounding; the codes' sum is returned.
INTERPLAY_CLONES int32_t round_block(const float* x, int16_t* codes, float& scale) {
  uint32_t largest = 0;  // of what is not negative, the bits are in the order of the numbers; NaN comes last
  for (int64_t k = 0; k < kBlock; ++k) largest = std::max(largest, std::bit_cast<uint32_t>(x[k]) & 0x7fffffffu);
  const float most = std::bit_cast<float>(largest);
  const bool finite = largest<0x7f800000u, some = most> 0x1p-110f;  // whose reciprocal is finite
  scale = !finite ? std::numeric_limits<float>::quiet_NaN() : some ? most / 32767 : 0;
  if (!finite || !some) {
    std::fill_n(codes, kBlock, int16_t(0));
    return 0;
  }
  const float inverse = 32767 / most;
  int32_t sum = 0;
  for (int64_t k = 0; k < kBlock; ++k) {
    const int32_t code = std::bit_cast<int32_t>(x[k] * inverse + kWhole) - std::bit_cast<int32_t>(kWhole);
    codes[k] = int16_t(code), sum += code;
  }
  return sum;
}

/// In the order of a tree.
float sum_of(const std::array<float, kSums>& s) {
  return ((s[0] + s[1]) + (s[2] + s[3])) + ((s[4] + s[5]) + (s[6] + s[7]));
}

/// Plain twin of tile() for one row of each: what each of its lanes does. Lane l has the codes 2 l and 2 l + 1 of
/// either half of a block.
template <Quantised kind>
float plain_dot(const Row& w, const Few& x, int64_t n, int64_t count) {
  std::array<float, kSums> sums{};
  if constexpr (kind == Quantised::q4) {
    for (int64_t b = 0; b < padded(x.blocks); ++b)
      sums[size_t(b % kSums)] = std::fma(w.offsets[b], x.sums[n * padded(x.blocks) + b], sums[size_t(b % kSums)]);
  }
  for (int64_t b = 0; b < x.blocks; ++b) {
    const int16_t* const codes = x.codes + (b * count + n) * kBlock;
    std::array<int32_t, kBlock> q{};
    for (int64_t k = 0; k < kBlock; ++k) {
      if constexpr (kind == Quantised::q4) {
        const auto both = uint8_t(w.codes[b * 16 + k % 16]);
        q[size_t(k)] = k < 16 ? both & 15 : both >> 4;
      } else {
        const auto code = uint8_t(w.codes[b * kBlock + k]);
        q[size_t(k)] = code < 128 ? code : code - 256;
      }
    }
    for (int64_t l = 0; l < kSums; ++l) {
      int32_t whole = 0;
      for (const int64_t k : {2 * l, 2 * l + 1, 16 + 2 * l, 17 + 2 * l}) whole += q[size_t(k)] * codes[k];
      sums[size_t(l)] = std::fma(float(whole) * x.scales[b * count + n], w.scales[b], sums[size_t(l)]);
    }
  }
  return sum_of(sums);
}

/// How all rows of W are multiplied.
struct Job {
  const char* w;
  int64_t rows;
  const RoundedRows& x;
  float* y;
  int64_t y_stride;
};

template <Quantised kind>
void plain_rows(const Job& job) {
  const RoundedRows& x = job.x;
  for (int64_t n = 0, count; n < x.rows(); n += count) {
    count = x.group(n);
    const Few few{x.codes(n), x.scales(n), x.sums(n), x.blocks()};
    for (int64_t r = 0; r < job.rows; ++r) {
      const Row row = row_at(kind, job.w + r * quantised_bytes(kind, x.blocks()), x.blocks());
      for (int64_t i = 0; i < count; ++i) job.y[(n + i) * job.y_stride + r] = plain_dot<kind>(row, few, i, count);
    }
  }
}

#ifndef __clang__  // which looks for the built-ins' instructions in what is inlined, not in what it is inlined into

constexpr int64_t kAhead = 8192;  // bytes of W that are asked for before their turn: one thread alone waits otherwise

using Floats = float __attribute__((vector_size(32)));
using LooseFloats = float __attribute__((vector_size(32), aligned(4), may_alias));
using Ints = int32_t __attribute__((vector_size(32)));
using Shorts = int16_t __attribute__((vector_size(32)));
using LooseShorts = int16_t __attribute__((vector_size(32), aligned(2), may_alias));
using Bytes = char __attribute__((vector_size(16)));
using LooseBytes = char __attribute__((vector_size(16), aligned(1), may_alias));

INTERPLAY_INLINE Bytes load(const char* from) { return *reinterpret_cast<const LooseBytes*>(from); }
INTERPLAY_INLINE Floats load(const float* from) { return *reinterpret_cast<const LooseFloats*>(from); }
INTERPLAY_INLINE Shorts load(const int16_t* from) { return *reinterpret_cast<const LooseShorts*>(from); }

/// What a kind of processor has instructions for, and how many rows of x tiles of two rows of W read: its registers
/// hold their sums.
struct Avx2 {
  static constexpr int kTogether = 4;
  /// In each lane, two products of a and x and two of b and y.
  INTERPLAY_INLINE static Ints products(Shorts a, Shorts x, Shorts b, Shorts y) {
    return __builtin_ia32_pmaddwd256(a, x) + __builtin_ia32_pmaddwd256(b, y);
  }
};
struct Vnni {
  static constexpr int kTogether = 8;
  INTERPLAY_INLINE static Ints products(Shorts a, Shorts x, Shorts b, Shorts y) {
    return __builtin_ia32_vpdpwssd_v8si(__builtin_ia32_pmaddwd256(a, x), (Ints)b, (Ints)y);
  }
};

INTERPLAY_INLINE Floats multiply_add(Floats a, Floats b, Floats c) { return __builtin_ia32_vfmaddps256(a, b, c); }

/// sum_of() the lanes.
INTERPLAY_INLINE float sum_lanes(Floats sums) {
  const Floats pairs = __builtin_ia32_haddps256(sums, sums), fours = __builtin_ia32_haddps256(pairs, pairs);
  return fours[0] + fours[4];
}

/// Of the blocks, m times the sum of the numbers of x.
INTERPLAY_INLINE Floats offset_sums(const float* offsets, const float* sums, int64_t blocks) {
  Floats out{};
  for (int64_t b = 0; b < blocks; b += kSums) out = multiply_add(load(offsets + b), load(sums + b), out);
  return out;
}

/// y[n][r] of R rows of W and N of x, by products of 16-bit numbers, which are exact in 32 bits: a block's sum of four
/// is below 2^24.
template <class Isa, Quantised kind, int R, int N>
INTERPLAY_INLINE void tile(const Row* w, const Few& x, float* y, int64_t y_stride) {
  Floats sums[R][N] = {};
  if constexpr (kind == Quantised::q4) {
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
#pragma GCC unroll 8
      for (int n = 0; n < N; ++n) sums[r][n] = offset_sums(w[r].offsets, x.sums + n * padded(x.blocks), x.blocks);
    }
  }
  const int16_t* codes = x.codes;
  const float* scales = x.scales;
  for (int64_t b = 0; b < x.blocks; ++b, codes += N * kBlock, scales += N) {
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
      Shorts first, second;
      if constexpr (kind == Quantised::q4) {
        const auto both = Shorts(__builtin_ia32_pmovzxbw256(load(w[r].codes + b * 16)));
        first = both & 15, second = both >> 4;
      } else {
        first = Shorts(__builtin_ia32_pmovsxbw256(load(w[r].codes + b * kBlock)));
        second = Shorts(__builtin_ia32_pmovsxbw256(load(w[r].codes + b * kBlock + 16)));
      }
      const Floats d = __builtin_ia32_vbroadcastss256(w[r].scales + b);
#pragma GCC unroll 8
      for (int n = 0; n < N; ++n) {
        const Ints whole =
            Isa::products(first, load(codes + n * kBlock), second, load(codes + n * kBlock + kBlock / 2));
        sums[r][n] = multiply_add(__builtin_convertvector(whole, Floats) * scales[n], d, sums[r][n]);
      }
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 8
    for (int n = 0; n < N; ++n) y[n * y_stride + r] = sum_lanes(sums[r][n]);
  }
}

/// R rows of W and all of x.
template <class Isa, Quantised kind, int R>
INTERPLAY_INLINE void dot_rows(const Row* w, const RoundedRows& x, float* y, int64_t y_stride) {
  constexpr int kFew = std::min(R, 2);
  for (int64_t n = 0, count; n < x.rows(); n += count) {
    count = x.group(n);
    const Few few{x.codes(n), x.scales(n), x.sums(n), x.blocks()};
    float* const to = y + n * y_stride;
    if (count == 8) {
      constexpr int kRows = Isa::kTogether == 8 ? kFew : 1;
      for (int r = 0; r < R; r += kRows) tile<Isa, kind, kRows, 8>(w + r, few, to + r, y_stride);
    } else if (count == 4) {
      for (int r = 0; r < R; r += kFew) tile<Isa, kind, kFew, 4>(w + r, few, to + r, y_stride);
    } else if (count == 2) {
      tile<Isa, kind, R, 2>(w, few, to, y_stride);
    } else {
      tile<Isa, kind, R, 1>(w, few, to, y_stride);
    }
  }
}

template <class Isa, Quantised kind>
INTERPLAY_INLINE void all_rows(const Job& job) {
  constexpr int kRows = 4;
  const int64_t blocks = job.x.blocks(), bytes = quantised_bytes(kind, blocks);
  for (int64_t r = 0; r < job.rows;) {
    const int64_t count = r + kRows <= job.rows ? kRows : 1;
    const char* const from = job.w + r * bytes;
    for (int64_t line = 0; line < count * bytes; line += 64) __builtin_prefetch(from + kAhead + line);
    Row some[kRows];
    for (int64_t i = 0; i < count; ++i) some[i] = row_at(kind, from + i * bytes, blocks);
    count == kRows ? dot_rows<Isa, kind, kRows>(some, job.x, job.y + r, job.y_stride)
                   : dot_rows<Isa, kind, 1>(some, job.x, job.y + r, job.y_stride);
    r += count;
  }
}

#define INTERPLAY_VNNI __attribute__((target("avx2,fma,avx512f,avx512bw,avx512cd,avx512dq,avx512vl,avx512vnni")))
#define INTERPLAY_AVX2 __attribute__((target("avx2,fma")))

INTERPLAY_VNNI void vnni_q4(const Job& job) { all_rows<Vnni, Quantised::q4>(job); }
INTERPLAY_VNNI void vnni_q8(const Job& job) { all_rows<Vnni, Quantised::q8>(job); }
INTERPLAY_AVX2 void avx2_q4(const Job& job) { all_rows<Avx2, Quantised::q4>(job); }
INTERPLAY_AVX2 void avx2_q8(const Job& job) { all_rows<Avx2, Quantised::q8>(job); }

bool has_avx2() { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }
bool has_vnni() {
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
         __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512vnni");
}

#endif  // __clang__

}  // namespace

int64_t quantised_bytes(Quantised kind, int64_t blocks) {
  return blocks * (code_bytes(kind) + 4) + (kind == Quantised::q4 ? 4 * padded(blocks) : 0);
}

bool is_quantised(GgufType type) { return type == GgufType::q4_0 || type == GgufType::q4_1 || type == GgufType::q8_0; }

Quantised quantised_as(GgufType type) {
  INTERPLAY_ASSERT(is_quantised(type));
  return type == GgufType::q8_0 ? Quantised::q8 : Quantised::q4;
}

void repack_row(GgufType type, const char* from, int64_t blocks, char* to) {
  const Quantised kind = quantised_as(type);
  const int64_t codes = code_bytes(kind), scales = type == GgufType::q4_1 ? 2 : 1;
  auto* const d = reinterpret_cast<float*>(to + blocks * codes);
  std::fill_n(to, quantised_bytes(kind, blocks), char(0));
  for (int64_t b = 0; b < blocks; ++b) {
    const char* const block = from + b * (2 * scales + codes);
    d[b] = from_half(block);
    if (kind == Quantised::q4) d[blocks + b] = scales == 2 ? from_half(block + 2) : -8 * d[b];  // q4_0 is d (q - 8)
    std::copy_n(block + 2 * scales, codes, to + b * codes);
  }
}

RoundedRows::RoundedRows(const float* x, int64_t rows, int64_t in)
    : rows_(rows),
      blocks_(in / kBlock),
      codes_(size_t(rows * in)),
      scales_(size_t(rows * blocks_)),
      sums_(size_t(rows * padded(blocks_))) {
  INTERPLAY_ASSERT(in % kBlock == 0);
  for (int64_t first = 0, count; first < rows; first += count) {
    count = group(first);
    for (int64_t n = 0; n < count; ++n) {
      for (int64_t b = 0; b < blocks_; ++b) {
        const int64_t place = first * blocks_ + b * count + n;
        float& scale = scales_[size_t(place)];
        const int32_t sum = round_block(x + (first + n) * in + b * kBlock, codes_.data() + place * kBlock, scale);
        sums_[size_t((first + n) * padded(blocks_) + b)] = float(sum) * scale;
      }
    }
  }
}

void multiply_quantised(Quantised kind, const char* w, int64_t rows, const RoundedRows& x, float* y, int64_t y_stride,
                        bool plain) {
  const Job job{w, rows, x, y, y_stride};
  const bool four = kind == Quantised::q4;
#ifndef __clang__
  static const bool avx2 = has_avx2(), vnni = has_vnni();
  if (!plain && vnni) return four ? vnni_q4(job) : vnni_q8(job);
  if (!plain && avx2) return four ? avx2_q4(job) : avx2_q8(job);
#endif
  four ? plain_rows<Quantised::q4>(job) : plain_rows<Quantised::q8>(job);
}

}  // namespace interplay::lm
