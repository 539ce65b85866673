#include "lm/tensor/step_matrix.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

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
using SignedBytes = int8_t __attribute__((vector_size(16)));

INTERPLAY_INLINE Bytes load_bytes(const char* from) { return *reinterpret_cast<const LooseBytes*>(from); }
INTERPLAY_INLINE Floats to_floats(Bytes b) { return __builtin_convertvector(__builtin_convertvector(b, Ints), Floats); }

/// Of a number that is finite, exact: the bits of its exponent lie 112 too low.
INTERPLAY_INLINE float from_half(const char* at) {
  uint16_t half;
  std::memcpy(&half, at, 2);
  const float size = std::bit_cast<float>(uint32_t(half & 0x7fffu) << 13) * 0x1p112f;
  return std::bit_cast<float>(std::bit_cast<uint32_t>(size) | uint32_t(half & 0x8000u) << 16);
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
struct Q40 {
  static constexpr int64_t kBytes = 18;
  INTERPLAY_INLINE static void unpack(const char* block, Floats& low, Floats& high) {
    const Bytes both = load_bytes(block + 2);
    const float d = from_half(block);
    low = (to_floats(both & 15) - 8.f) * d, high = (to_floats(both >> 4) - 8.f) * d;
  }
};
struct Q41 {
  static constexpr int64_t kBytes = 20;
  INTERPLAY_INLINE static void unpack(const char* block, Floats& low, Floats& high) {
    const Bytes both = load_bytes(block + 4);
    const float d = from_half(block), m = from_half(block + 2);
    low = to_floats(both & 15) * d + m, high = to_floats(both >> 4) * d + m;
  }
};
struct Q80 {
  static constexpr int64_t kBytes = 34;
  INTERPLAY_INLINE static void unpack(const char* block, Floats& low, Floats& high) {
    const float d = from_half(block);
    const auto first = (SignedBytes)load_bytes(block + 2), second = (SignedBytes)load_bytes(block + 18);
    low = __builtin_convertvector(__builtin_convertvector(first, Ints), Floats) * d;
    high = __builtin_convertvector(__builtin_convertvector(second, Ints), Floats) * d;
  }
};

/// y[n][r] = sum over k of w_r[k] x_n[k], of R rows of W and N of x. One sum a number, block after block.
template <class Numbers, int R, int N>
INTERPLAY_CLONES void dot_tile(const char* const* w, const float* x, int64_t in, float* y, int64_t y_stride) {
  Floats sum[R][N] = {};
  const int64_t blocks = in / kBlock;
  for (int64_t b = 0; b < blocks; ++b) {
    const float* const at = x + b * kBlock;
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
      Floats low, high;
      Numbers::unpack(w[r] + b * Numbers::kBytes, low, high);
#pragma GCC unroll 8
      for (int n = 0; n < N; ++n) {
        sum[r][n] += low * simd::load(at + n * in);
        sum[r][n] += high * simd::load(at + n * in + simd::kLanes);
      }
    }
  }
  for (int r = 0; r < R; ++r) {
    for (int n = 0; n < N; ++n) {
      float rest = 0;
      if constexpr (requires { Numbers::one(w[r], 0); }) {  // quantised rows are whole blocks
        for (int64_t k = blocks * kBlock; k < in; ++k) rest += Numbers::one(w[r], k) * x[n * in + k];
      }
      y[n * y_stride + r] = simd::sum(sum[r][n]) + rest;
    }
  }
}

/// R rows of W and all of x, as many at a time as registers hold: what is unpacked serves up to eight.
template <class Numbers, int R>
void dot_rows(const char* const* w, const float* x, int64_t rows, int64_t in, float* y, int64_t y_stride) {
  int64_t n = 0;
  const auto tiles = [&]<int Rows, int N>() {
    for (; n + N <= rows; n += N) {
      for (int r = 0; r < R; r += Rows)
        dot_tile<Numbers, Rows, N>(w + r, x + n * in, in, y + n * y_stride + r, y_stride);
    }
  };
  tiles.template operator()<(R > 1 ? 2 : 1), 8>();
  tiles.template operator()<R, 4>();
  tiles.template operator()<R, 2>();
  tiles.template operator()<R, 1>();
}

}  // namespace

const char* StepMatrix::Part::row(int64_t i) const {
  if (head_dim > 0) {
    const int64_t half = head_dim / 2, within = i % head_dim;
    i += 2 * (within % half) + within / half - within;
  }
  return bytes + i * row_bytes;
}

StepMatrix::StepMatrix(const at::Tensor& weight) : in_(weight.size(1)), held_(weight) {
  INTERPLAY_ASSERT(weight.is_contiguous() && weight.is_cpu());
  const bool half = weight.scalar_type() == at::kBFloat16;
  INTERPLAY_ASSERT(half || weight.scalar_type() == at::kFloat);
  parts_.push_back({static_cast<const char*>(weight.const_data_ptr()), weight.size(0), in_ * (half ? 2 : 4), 0,
                    half ? Storage::bf16 : Storage::f32});
}

void StepMatrix::append(std::shared_ptr<const Gguf> file, const Gguf::Tensor& tensor, int64_t head_dim) {
  INTERPLAY_ASSERT(is_packed(tensor));
  const auto storage = tensor.type == GgufType::q4_0   ? Storage::q4_0
                       : tensor.type == GgufType::q4_1 ? Storage::q4_1
                                                       : Storage::q8_0;
  in_ = tensor.columns();
  parts_.push_back(
      {file->bytes(tensor).data(), tensor.rows(), int64_t(tensor.bytes) / tensor.rows(), head_dim, storage});
  file_ = std::move(file);
}

bool StepMatrix::is_packed(const Gguf::Tensor& tensor) {
  return tensor.type == GgufType::q4_0 || tensor.type == GgufType::q4_1 || tensor.type == GgufType::q8_0;
}

int64_t StepMatrix::out() const {
  int64_t rows = 0;
  for (const auto& part : parts_) rows += part.rows;
  return rows;
}

template <class Numbers>
void StepMatrix::multiply(const Part& part, int64_t begin, int64_t end, const at::Tensor& x, float* y,
                          int64_t y_stride) {
  constexpr int kRows = 4;
  const int64_t rows = x.size(0), in = x.size(1);
  const float* const from = numbers<float>(x);
  int64_t r = begin;
  for (; r + kRows <= end; r += kRows) {
    std::array<const char*, kRows> w;
    for (int i = 0; i < kRows; ++i) w[size_t(i)] = part.row(r + i);
    dot_rows<Numbers, kRows>(w.data(), from, rows, in, y + r, y_stride);
  }
  for (; r < end; ++r) {
    const char* const w = part.row(r);
    dot_rows<Numbers, 1>(&w, from, rows, in, y + r, y_stride);
  }
}

at::Tensor StepMatrix::product(const at::Tensor& x) const {
  constexpr int64_t kRows = 64;  // of W, a task: some microseconds
  const auto from = x.contiguous();
  const int64_t wide = out();
  auto y = at::empty({x.size(0), wide}, at::TensorOptions().dtype(at::kFloat));
  float* to = mutable_numbers<float>(y);
  for (const Part& part : parts_) {
    const auto work = [&]<class Numbers>(Numbers) {
      run_tasks((part.rows + kRows - 1) / kRows, [&](int64_t task) {
        multiply<Numbers>(part, task * kRows, std::min(part.rows, (task + 1) * kRows), from, to, wide);
      });
    };
    switch (part.storage) {
      case Storage::f32: work(F32()); break;
      case Storage::bf16: work(Bf16()); break;
      case Storage::q4_0: work(Q40()); break;
      case Storage::q4_1: work(Q41()); break;
      case Storage::q8_0: work(Q80()); break;
    }
    to += part.rows;
  }
  return y;
}

}  // namespace interplay::lm
