#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include <interplay/base/api.h>

namespace interplay {

/// Columns [begin, begin + count) of a row.
struct ColumnRun {
  int64_t begin, count;
};

/// A weight matrix [out, in], some of its columns, laid out for products with a few hundred rows on one core: panels of
/// 48 outputs, which lie beside each other for every column. Sums run over the columns in order, so a row's result does
/// not depend on the other rows. Immutable.
class INTERPLAY_API PackedMatrix {
 public:
  /// `weight` f32 [out, in] row by row; `runs` are the columns to multiply with, in order.
  PackedMatrix(const float* weight, int64_t out, int64_t in, std::vector<ColumnRun> runs);

  /// What a bias and a row of results have room for: out, padded to whole vectors.
  static int64_t padded(int64_t out);
  int64_t out() const { return out_; }

  /// y[r] = bias + W x[r], then max(0, .) if `relu`. x f32 [rows, x_stride], read at the columns of `runs`; bias f32
  /// [padded(out)], y f32 [rows, y_stride], y_stride >= padded(out): what follows column `out` is overwritten.
  void multiply(const float* x, int64_t x_stride, int64_t rows, const float* bias, float* y, int64_t y_stride,
                bool relu) const;

 private:
  int64_t out_, columns_ = 0;
  std::vector<ColumnRun> runs_;
  std::vector<float> packed_;
};

}  // namespace interplay
