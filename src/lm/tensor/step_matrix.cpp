#include "lm/tensor/step_matrix.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <type_traits>

#include <immintrin.h>

#include <ATen/ATen.h>

#include <interplay/base/error.h>
#include <interplay/base/simd.h>
#include <interplay/base/tasks.h>
#include <interplay/nn/bf16.h>
#include <interplay/nn/dense_rows.h>

namespace interplay::lm {
namespace {

using nn::mutable_numbers;
using nn::numbers;
using simd::Floats;
using simd::Ints;

constexpr int64_t kBlock = 32;  // numbers of a row that are unpacked at once, as GGUF packs them

using Bytes = uint8_t __attribute__((vector_size(16)));
using LooseBytes = uint8_t __attribute__((vector_size(16), aligned(1), may_alias));

INTERPLAY_INLINE Bytes load_bytes(const char* from) { return *reinterpret_cast<const LooseBytes*>(from); }
INTERPLAY_INLINE Floats to_floats(Bytes b) { return __builtin_convertvector(__builtin_convertvector(b, Ints), Floats); }

/// Of a number that is finite, exact: the bits of its exponent lie 112 too low.
float from_half(const char* at) {
  int16_t half;
  std::memcpy(&half, at, 2);
  return std::bit_cast<float>(uint32_t(int32_t(half)) << 13 & 0x8fffe000u) * 0x1p112f;
}

INTERPLAY_INLINE float scale_at(const char* block, int64_t which) {
  float scale;
  std::memcpy(&scale, block + which * int64_t(sizeof scale), sizeof scale);
  return scale;
}

/// How rows are stored: the two halves of a block of 32 numbers. What does not fill a block is read one by one.
struct F32 {
  static constexpr int64_t kBytes = 4 * kBlock;
  INTERPLAY_INLINE static void unpack(const char* block, Floats& low, Floats& high) {
    const auto* const from = reinterpret_cast<const float*>(block);
    low = simd::load(from), high = simd::load(from + simd::kLanes);
  }
  INTERPLAY_INLINE static float one(const char* block, int64_t k) { return reinterpret_cast<const float*>(block)[k]; }
};
struct Bf16 {
  static constexpr int64_t kBytes = 2 * kBlock;
  INTERPLAY_INLINE static void unpack(const char* block, Floats& low, Floats& high) {
    const auto* const from = reinterpret_cast<const uint16_t*>(block);
    low = simd::load(from), high = simd::load(from + simd::kLanes);
  }
  INTERPLAY_INLINE static float one(const char* block, int64_t k) {
    return simd::widen(reinterpret_cast<const uint16_t*>(block)[k]);
  }
};
/// d, m in f32, then 16 bytes as GGUF has them: low and high halves of the numbers q, w = d q + m
struct Q4 {
  static constexpr int64_t kBytes = 24;
  INTERPLAY_INLINE static void unpack(const char* block, Floats& low, Floats& high) {
    const Bytes both = load_bytes(block + 8);
    const float d = scale_at(block, 0), m = scale_at(block, 1);
    low = to_floats(both & 15) * d + m, high = to_floats(both >> 4) * d + m;
  }
};
/// d in f32, then 32 bytes, 128 more than the numbers q: w = d q
struct Q8 {
  static constexpr int64_t kBytes = 36;
  INTERPLAY_INLINE static void unpack(const char* block, Floats& low, Floats& high) {
    const float d = scale_at(block, 0);
    low = (to_floats(load_bytes(block + 4)) - 128.f) * d, high = (to_floats(load_bytes(block + 20)) - 128.f) * d;
  }
};

/// A block of a file as Q4 or Q8 have it. q4_0 has q - 8 in place of q: m = -8 d, exactly.
void repack(GgufType type, const char* from, char* to) {
  const float d = from_half(from);
  std::memcpy(to, &d, 4);
  if (type == GgufType::q8_0) {
    for (int64_t k = 0; k < kBlock; ++k) to[4 + k] = char(uint8_t(from[2 + k]) ^ 0x80);
    return;
  }
  const float m = type == GgufType::q4_0 ? -8 * d : from_half(from + 2);
  std::memcpy(to + 4, &m, 4);
  std::memcpy(to + 8, from + (type == GgufType::q4_0 ? 2 : 4), kBlock / 2);
}

/// Rows of x as tiles read them: up to eight rows at a time, of these a block of each, block after block. Behind the
/// blocks of such a group lies what does not fill one.
class Columns {
 public:
  Columns(const float* x, int64_t rows, int64_t in) : rows_(rows), in_(in), packed_(static_cast<size_t>(rows * in)) {
    for (int64_t first = 0, count; first < rows; first += count) {
      count = group(first);
      float* to = packed_.data() + first * in;
      for (int64_t k = 0; k < in; k += kBlock)
        for (int64_t n = first; n < first + count; ++n) to = std::copy_n(x + n * in + k, std::min(kBlock, in - k), to);
    }
  }
  int64_t rows() const { return rows_; }
  int64_t in() const { return in_; }
  /// How many rows the group that begins with this one has: 8, 4, 2 or 1.
  int64_t group(int64_t first) const { return std::min<int64_t>(8, int64_t(std::bit_floor(uint64_t(rows_ - first)))); }
  const float* at(int64_t first) const { return packed_.data() + first * in_; }

 private:
  int64_t rows_, in_;
  std::vector<float> packed_;
};

/// y[n][r] = sum over k of w_r[k] x_n[k], of R rows of W and a group of N rows of x. One sum a number, block after
/// block.
template <class Numbers, int R, int N>
INTERPLAY_CLONES void dot_tile(const char* const* w, const float* x, int64_t in, float* y, int64_t y_stride) {
  Floats sum[R][N] = {};
  const int64_t blocks = in / kBlock, more = in % kBlock;
  for (int64_t b = 0; b < blocks; ++b, x += N * kBlock) {
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
      Floats low, high;
      Numbers::unpack(w[r] + b * Numbers::kBytes, low, high);
#pragma GCC unroll 8
      for (int n = 0; n < N; ++n) {
        sum[r][n] += low * simd::load(x + n * kBlock);
        sum[r][n] += high * simd::load(x + n * kBlock + simd::kLanes);
      }
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 8
    for (int n = 0; n < N; ++n) {
      float rest = 0;
      if constexpr (requires { Numbers::one(w[r], 0); }) {  // quantised rows are whole blocks
        for (int64_t k = 0; k < more; ++k) rest += Numbers::one(w[r], blocks * kBlock + k) * x[n * more + k];
      }
      y[n * y_stride + r] = simd::sum(sum[r][n]) + rest;
    }
  }
}

/// Whether wide_tile() may be called.
bool is_wide() {
  static const bool found = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                            __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
                            __builtin_cpu_supports("avx512vl");
  return found;
}

/// dot_tile() of quantised rows with AVX-512: the same bits, unpacked by instructions that the compiler does not find.
/// The sixteen numbers that a block of Q4 may have are a table in one register, from which all are taken at once.
template <class Numbers, int R, int N>
__attribute__((target("arch=x86-64-v4"))) void wide_tile(const char* const* w, const float* x, int64_t in, float* y,
                                                         int64_t y_stride) {
  constexpr __mmask16 all = 0xffff;  // without a mask, GCC 12 warns of what its own header leaves undefined
  const __m512 places = _mm512_setr_ps(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
  Floats sum[R][N] = {};
  const int64_t blocks = in / kBlock;
  for (int64_t b = 0; b < blocks; ++b, x += N * kBlock) {
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
      const char* const block = w[r] + b * Numbers::kBytes;
      const __m512 d = _mm512_set1_ps(scale_at(block, 0));
      __m512 low, high;
      if constexpr (std::is_same_v<Numbers, Q4>) {
        const __m512 table = _mm512_fmadd_ps(places, d, _mm512_set1_ps(scale_at(block, 1)));
        const __m512i both = _mm512_maskz_cvtepu8_epi32(all, (__m128i)load_bytes(block + 8));
        low = _mm512_maskz_permutexvar_ps(all, both, table);  // which looks at four bits of each place
        high = _mm512_maskz_permutexvar_ps(all, _mm512_maskz_srli_epi32(all, both, 4), table);
      } else {
        const __m512i first = _mm512_maskz_cvtepu8_epi32(all, (__m128i)load_bytes(block + 4)),
                      second = _mm512_maskz_cvtepu8_epi32(all, (__m128i)load_bytes(block + 20));
        low = (_mm512_maskz_cvtepi32_ps(all, first) - 128.f) * d;
        high = (_mm512_maskz_cvtepi32_ps(all, second) - 128.f) * d;
      }
#pragma GCC unroll 8
      for (int n = 0; n < N; ++n) {
        sum[r][n] += (Floats)low * simd::load(x + n * kBlock);
        sum[r][n] += (Floats)high * simd::load(x + n * kBlock + simd::kLanes);
      }
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 8
    for (int n = 0; n < N; ++n) y[n * y_stride + r] = simd::sum(sum[r][n]);
  }
}

template <class Numbers, int R, int N>
void tile(const char* const* w, const float* x, int64_t in, float* y, int64_t y_stride) {
  if constexpr (std::is_same_v<Numbers, Q4> || std::is_same_v<Numbers, Q8>) {
    if (is_wide()) return wide_tile<Numbers, R, N>(w, x, in, y, y_stride);
  }
  dot_tile<Numbers, R, N>(w, x, in, y, y_stride);
}

/// R rows of W and all of x; of eight rows of x as many of W at a time as registers hold.
template <class Numbers, int R>
void dot_rows(const char* const* w, const Columns& x, float* y, int64_t y_stride) {
  constexpr int kFew = R > 1 ? 2 : 1;
  for (int64_t n = 0, count; n < x.rows(); n += count) {
    count = x.group(n);
    float* const to = y + n * y_stride;
    if (count == 8) {
      for (int r = 0; r < R; r += kFew) tile<Numbers, kFew, 8>(w + r, x.at(n), x.in(), to + r, y_stride);
    } else if (count == 4) {
      tile<Numbers, R, 4>(w, x.at(n), x.in(), to, y_stride);
    } else if (count == 2) {
      tile<Numbers, R, 2>(w, x.at(n), x.in(), to, y_stride);
    } else {
      tile<Numbers, R, 1>(w, x.at(n), x.in(), to, y_stride);
    }
  }
}

/// `rows` rows of W, which lie `row_bytes` apart, into y [N, y_stride].
template <class Numbers>
void multiply(const char* w, int64_t row_bytes, int64_t rows, const Columns& x, float* y, int64_t y_stride) {
  constexpr int kRows = 4;
  for (int64_t r = 0; r < rows;) {
    const int64_t count = r + kRows <= rows ? kRows : 1;
    std::array<const char*, kRows> some{};
    for (int64_t i = 0; i < count; ++i) some[size_t(i)] = w + (r + i) * row_bytes;
    count == kRows ? dot_rows<Numbers, kRows>(some.data(), x, y + r, y_stride)
                   : dot_rows<Numbers, 1>(some.data(), x, y + r, y_stride);
    r += count;
  }
}

}  // namespace

StepMatrix::StepMatrix(const at::Tensor& weight) : in_(weight.size(1)) {
  INTERPLAY_ASSERT(weight.is_contiguous() && weight.is_cpu());
  const bool half = weight.scalar_type() == at::kBFloat16;
  INTERPLAY_ASSERT(half || weight.scalar_type() == at::kFloat);
  parts_.push_back({weight, weight.size(0), in_ * (half ? 2 : 4), half ? Storage::bf16 : Storage::f32});
}

void StepMatrix::append(const Gguf& file, const Gguf::Tensor& tensor, int64_t head_dim) {
  INTERPLAY_ASSERT(is_packed(tensor));
  in_ = tensor.columns();
  const bool wide = tensor.type == GgufType::q8_0;
  const int64_t rows = tensor.rows(), blocks = in_ / kBlock, bytes = wide ? Q8::kBytes : Q4::kBytes,
                stored = int64_t(tensor.bytes) / (rows * blocks);
  Part part{at::empty({rows, blocks * bytes}, at::TensorOptions().dtype(at::kByte)), rows, blocks * bytes,
            wide ? Storage::q8 : Storage::q4};
  const char* const from = file.bytes(tensor).data();
  char* const to = static_cast<char*>(part.held.mutable_data_ptr());
  at::parallel_for(0, rows, 64, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const int64_t within = head_dim > 0 ? r % head_dim : 0, half = std::max<int64_t>(1, head_dim / 2);
      const int64_t place = r - within + 2 * (within % half) + within / half;  // in the file
      for (int64_t b = 0; b < blocks; ++b)
        repack(tensor.type, from + ((head_dim > 0 ? place : r) * blocks + b) * stored, to + (r * blocks + b) * bytes);
    }
  });
  parts_.push_back(std::move(part));
}

bool StepMatrix::is_packed(const Gguf::Tensor& tensor) {
  return tensor.type == GgufType::q4_0 || tensor.type == GgufType::q4_1 || tensor.type == GgufType::q8_0;
}

int64_t StepMatrix::out() const {
  int64_t rows = 0;
  for (const auto& part : parts_) rows += part.rows;
  return rows;
}

at::Tensor StepMatrix::product(const at::Tensor& x) const {
  constexpr int64_t kRows = 64;  // of W, a task: some microseconds
  const auto contiguous = x.contiguous();
  const Columns columns(numbers<float>(contiguous), x.size(0), x.size(1));
  const int64_t wide = out();
  auto y = at::empty({x.size(0), wide}, at::TensorOptions().dtype(at::kFloat));
  float* to = mutable_numbers<float>(y);
  for (const Part& part : parts_) {
    const char* const w = static_cast<const char*>(part.held.const_data_ptr());
    run_tasks((part.rows + kRows - 1) / kRows, [&](int64_t task) {
      const int64_t first = task * kRows, rows = std::min(kRows, part.rows - first);
      const auto all = [&]<class Numbers>(Numbers) {
        multiply<Numbers>(w + first * part.row_bytes, part.row_bytes, rows, columns, to + first, wide);
      };
      switch (part.storage) {
        case Storage::f32: return all(F32());
        case Storage::bf16: return all(Bf16());
        case Storage::q4: return all(Q4());
        case Storage::q8: return all(Q8());
      }
    });
    to += part.rows;
  }
  return y;
}

}  // namespace interplay::lm
