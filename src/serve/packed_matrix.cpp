#include "serve/packed_matrix.h"

#include <algorithm>
#include <cstring>

#include <interplay/base/simd.h>

namespace interplay {
namespace {

using simd::kLanes;

constexpr int64_t kPanelVectors = 3, kPanel = kPanelVectors * kLanes;
constexpr int64_t kFewOutputs = 4;  // below: products by rows of W, since a panel would be mostly padding

struct Task {
  const float* panels;
  std::span<const ColumnRun> runs;
  int64_t columns, out;
  const float* x;
  int64_t x_stride, rows;
  const float* bias;
  float* y;
  int64_t y_stride;
  bool relu;
};

// One register each; not made by a template, since GCC forgets the attributes of a dependent type.
using Vector16 = float __attribute__((vector_size(64), aligned(4), may_alias));
using Vector8 = float __attribute__((vector_size(32), aligned(4), may_alias));
using Vector4 = float __attribute__((vector_size(16), aligned(4), may_alias));

/// R rows by V vectors of outputs, in registers throughout.
template <class Vector, int R, int V>
INTERPLAY_INLINE void tile(const Task& t, const float* panel, int64_t row, int64_t first_out) {
  constexpr int64_t L = sizeof(Vector) / sizeof(float);
  const auto load = [](const float* from) __attribute__((always_inline)) {
    return *reinterpret_cast<const Vector*>(from);
  };
  Vector sum[R][V];
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 16
    for (int v = 0; v < V; ++v) sum[r][v] = load(t.bias + first_out + v * L);
  }
  const float* const x = t.x + row * t.x_stride;
  for (const ColumnRun& run : t.runs) {
    const float* const from = x + run.begin;
    for (int64_t k = 0; k < run.count; ++k, panel += V * L) {
#pragma GCC unroll 16
      for (int r = 0; r < R; ++r) {
        const float factor = from[r * t.x_stride + k];
#pragma GCC unroll 16
        for (int v = 0; v < V; ++v) sum[r][v] += factor * load(panel + v * L);
      }
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 16
    for (int v = 0; v < V; ++v) {
      Vector s = sum[r][v];
      if (t.relu) s = s <= 0 ? Vector{} : s;  // as ATen: a NaN stays one
      *reinterpret_cast<Vector*>(t.y + (row + r) * t.y_stride + first_out + v * L) = s;
    }
  }
}

template <class Vector, int R, int V>
INTERPLAY_INLINE void rows_of_tiles(const Task& t, const float* panel, int64_t first_out) {
  int64_t row = 0;
  for (; row + R <= t.rows; row += R) tile<Vector, R, V>(t, panel, row, first_out);
  if constexpr (R > 4)
    for (; row + 4 <= t.rows; row += 4) tile<Vector, 4, V>(t, panel, row, first_out);
  if constexpr (R > 2)
    for (; row + 2 <= t.rows; row += 2) tile<Vector, 2, V>(t, panel, row, first_out);
  for (; row < t.rows; ++row) tile<Vector, 1, V>(t, panel, row, first_out);
}

template <class Vector, int R>
INTERPLAY_INLINE void all_panels(const Task& t) {
  constexpr int kPart = kLanes * sizeof(float) / sizeof(Vector);
  const float* panel = t.panels;
  for (int64_t o = 0; o < t.out; o += kPanel) {  // a panel stays in the second-level cache for all rows
    const int64_t vectors = std::min(kPanelVectors, (t.out - o + kLanes - 1) / kLanes);
    if (vectors == 3) rows_of_tiles<Vector, R, 3 * kPart>(t, panel, o);
    if (vectors == 2) rows_of_tiles<Vector, R, 2 * kPart>(t, panel, o);
    if (vectors == 1) rows_of_tiles<Vector, R, kPart>(t, panel, o);
    panel += t.columns * vectors * kLanes;
  }
}

// Not INTERPLAY_CLONES: what fits the registers differs. 8 rows x 48 outputs are 24 of the 32 registers of AVX-512;
// 2 x 48 are 12 of the 16 of AVX2, 1 x 48 are 12 of the 16 of SSE.
__attribute__((target("arch=x86-64-v4"))) void multiply_v4(const Task& t) { all_panels<Vector16, 8>(t); }
__attribute__((target("arch=x86-64-v3"))) void multiply_v3(const Task& t) { all_panels<Vector8, 2>(t); }
void multiply_any(const Task& t) { all_panels<Vector4, 1>(t); }

/// Rows of W as they are: [out, columns].
INTERPLAY_CLONES void multiply_few(const Task& t) {
  for (int64_t row = 0; row < t.rows; ++row) {
    for (int64_t o = 0; o < t.out; ++o) {
      const float* w = t.panels + o * t.columns;
      simd::Floats sums{};
      float sum = t.bias[o];
      for (const ColumnRun& run : t.runs) {
        const float* const x = t.x + row * t.x_stride + run.begin;
        int64_t k = 0;
        for (; k + kLanes <= run.count; k += kLanes) sums += simd::load(x + k) * simd::load(w + k);
        for (; k < run.count; ++k) sum += x[k] * w[k];
        w += run.count;
      }
      sum += simd::sum(sums);
      t.y[row * t.y_stride + o] = t.relu && sum <= 0 ? 0 : sum;
    }
  }
}

using Multiply = void (*)(const Task&);
Multiply best_multiply() {
  if (__builtin_cpu_supports("x86-64-v4")) return multiply_v4;
  if (__builtin_cpu_supports("x86-64-v3")) return multiply_v3;
  return multiply_any;
}

}  // namespace

int64_t PackedMatrix::padded(int64_t out) { return (out + kLanes - 1) / kLanes * kLanes; }

PackedMatrix::PackedMatrix(const float* weight, int64_t out, int64_t in, std::vector<ColumnRun> runs)
    : out_(out), runs_(std::move(runs)) {
  for (const ColumnRun& run : runs_) columns_ += run.count;
  const bool few = out < kFewOutputs;
  packed_.assign(size_t(columns_ * (few ? out : padded(out))), 0.f);
  float* to = packed_.data();
  for (int64_t o = 0; o < out; o += few ? 1 : kPanel) {
    const int64_t width = few ? 1 : std::min(kPanel, padded(out) - o), real = std::min(width, out - o);
    for (const ColumnRun& run : runs_) {
      for (int64_t k = run.begin; k < run.begin + run.count; ++k, to += width) {
        for (int64_t i = 0; i < real; ++i) to[i] = weight[(o + i) * in + k];
      }
    }
  }
}

void PackedMatrix::multiply(const float* x, int64_t x_stride, int64_t rows, const float* bias, float* y,
                            int64_t y_stride, bool relu) const {
  static const Multiply best = best_multiply();
  (out_ < kFewOutputs ? &multiply_few
                      : best)({packed_.data(), runs_, columns_, out_, x, x_stride, rows, bias, y, y_stride, relu});
}

}  // namespace interplay
