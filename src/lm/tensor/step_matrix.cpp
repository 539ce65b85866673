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
  int16_t half;
  std::memcpy(&half, at, 2);
  return std::bit_cast<float>(uint32_t(int32_t(half)) << 13 & 0x8fffe000u) * 0x1p112f;
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

/// R rows of W and all of x; of eight rows of x as many of W at a time as registers hold.
template <class Numbers, int R>
void dot_rows(const char* const* w, const Columns& x, float* y, int64_t y_stride) {
  constexpr int kFew = R > 1 ? 2 : 1;
  for (int64_t n = 0, count; n < x.rows(); n += count) {
    count = x.group(n);
    float* const to = y + n * y_stride;
    if (count == 8) {
      for (int r = 0; r < R; r += kFew) dot_tile<Numbers, kFew, 8>(w + r, x.at(n), x.in(), to + r, y_stride);
    } else if (count == 4) {
      dot_tile<Numbers, R, 4>(w, x.at(n), x.in(), to, y_stride);
    } else if (count == 2) {
      dot_tile<Numbers, R, 2>(w, x.at(n), x.in(), to, y_stride);
    } else {
      dot_tile<Numbers, R, 1>(w, x.at(n), x.in(), to, y_stride);
    }
  }
}

/// Rows begin .. end of W, whose bytes `row` gives, into y [N, y_stride].
template <class Numbers, class Row>
void multiply(const Row& row, int64_t begin, int64_t end, const Columns& x, float* y, int64_t y_stride) {
  constexpr int kRows = 4;
  int64_t r = begin;
  for (; r + kRows <= end; r += kRows) {
    const std::array<const char*, kRows> w{row(r), row(r + 1), row(r + 2), row(r + 3)};
    dot_rows<Numbers, kRows>(w.data(), x, y + r, y_stride);
  }
  for (; r < end; ++r) {
    const char* const w = row(r);
    dot_rows<Numbers, 1>(&w, x, y + r, y_stride);
  }
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

at::Tensor StepMatrix::product(const at::Tensor& x) const {
  constexpr int64_t kRows = 64;  // of W, a task: some microseconds
  const auto contiguous = x.contiguous();
  const Columns columns(numbers<float>(contiguous), x.size(0), x.size(1));
  const int64_t wide = out();
  auto y = at::empty({x.size(0), wide}, at::TensorOptions().dtype(at::kFloat));
  float* to = mutable_numbers<float>(y);
  for (const Part& part : parts_) {
    const auto work = [&]<class Numbers>(Numbers) {
      run_tasks((part.rows + kRows - 1) / kRows, [&](int64_t task) {
        multiply<Numbers>([&](int64_t r) { return part.row(r); }, task * kRows, std::min(part.rows, (task + 1) * kRows),
                          columns, to, wide);
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
