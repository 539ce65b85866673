#include "lm/tensor/step_matrix.h"

#include <algorithm>
#include <array>
#include <bit>
#include <optional>

#include <ATen/ATen.h>

#include <interplay/base/error.h>
#include <interplay/base/simd.h>
#include <interplay/base/tasks.h>
#include <interplay/nn/bf16.h>
#include <interplay/nn/dense_rows.h>
#include <interplay/nn/plain_scope.h>

#include "lm/tensor/quantised_rows.h"

namespace interplay::lm {
namespace {

using nn::mutable_numbers;
using nn::numbers;
using simd::Floats;

constexpr int64_t kBlock = 32;  // numbers of a row that are unpacked at once

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
      for (int64_t k = 0; k < more; ++k) rest += Numbers::one(w[r], blocks * kBlock + k) * x[n * more + k];
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
  const Quantised kind = quantised_as(tensor.type);
  const int64_t rows = tensor.rows(), blocks = in_ / kQuantisedBlock, bytes = quantised_bytes(kind, blocks),
                stored = int64_t(tensor.bytes) / rows;
  Part part{at::empty({rows, bytes}, at::TensorOptions().dtype(at::kByte)), rows, bytes,
            kind == Quantised::q8 ? Storage::q8 : Storage::q4};
  const char* const from = file.bytes(tensor).data();
  char* const to = static_cast<char*>(part.held.mutable_data_ptr());
  at::parallel_for(0, rows, 64, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const int64_t within = head_dim > 0 ? r % head_dim : 0, half = std::max<int64_t>(1, head_dim / 2);
      const int64_t place = r - within + 2 * (within % half) + within / half;  // in the file
      repack_row(tensor.type, from + (head_dim > 0 ? place : r) * stored, blocks, to + r * bytes);
    }
  });
  parts_.push_back(std::move(part));
}

bool StepMatrix::is_packed(const Gguf::Tensor& tensor) { return is_quantised(tensor.type); }

int64_t StepMatrix::out() const {
  int64_t rows = 0;
  for (const auto& part : parts_) rows += part.rows;
  return rows;
}

at::Tensor StepMatrix::product(const at::Tensor& x) const {
  constexpr int64_t kRows = 64;  // of W, a task: some microseconds
  const auto contiguous = x.contiguous();
  const int64_t wide = out();
  auto y = at::empty({x.size(0), wide}, at::TensorOptions().dtype(at::kFloat));
  float* to = mutable_numbers<float>(y);
  const bool plain = nn::PlainScope::active();
  std::optional<Columns> columns;
  std::optional<RoundedRows> rounded;
  for (const Part& part : parts_) {
    const bool dense = part.storage == Storage::f32 || part.storage == Storage::bf16;
    if (dense && !columns) columns.emplace(numbers<float>(contiguous), x.size(0), x.size(1));
    if (!dense && !rounded) rounded.emplace(numbers<float>(contiguous), x.size(0), x.size(1));
    const char* const w = static_cast<const char*>(part.held.const_data_ptr());
    run_tasks((part.rows + kRows - 1) / kRows, [&](int64_t task) {
      const int64_t first = task * kRows, rows = std::min(kRows, part.rows - first);
      const char* const from = w + first * part.row_bytes;
      switch (part.storage) {
        case Storage::f32: return multiply<F32>(from, part.row_bytes, rows, *columns, to + first, wide);
        case Storage::bf16: return multiply<Bf16>(from, part.row_bytes, rows, *columns, to + first, wide);
        case Storage::q4: return multiply_quantised(Quantised::q4, from, rows, *rounded, to + first, wide, plain);
        case Storage::q8: return multiply_quantised(Quantised::q8, from, rows, *rounded, to + first, wide, plain);
      }
    });
    to += part.rows;
  }
  return y;
}

}  // namespace interplay::lm
