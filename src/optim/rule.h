#pragma once

#include <interplay/optim/optimizer.h>

#include "nn/simd.h"

namespace interplay {

/// Turns a rule for one row, `INTERPLAY_INLINE void row(float* w, const float* g, float* s, int64_t width, const
/// Constants&) const`, and its constants for one step, `Constants constants(const StepInfo&)`, into the loop over rows,
/// compiled for each kind of processor.
template <class Rule>
class RowRule : public Optimizer {
 public:
  void update(const Rows& rows, const StepInfo& step) const final {
    const auto& rule = static_cast<const Rule&>(*this);
    run(rule, rows, rule.constants(step));
  }
  using Optimizer::update;

 private:
  template <class Constants>
  INTERPLAY_CLONES static void run(const Rule& rule, const Rows& rows, const Constants& constants) {
    switch (rows.width) {  // a width the compiler knows needs no loop
      case 1: return loop<1>(rule, rows, constants);
      case 8: return loop<8>(rule, rows, constants);
      case 16: return loop<16>(rule, rows, constants);
      case 32: return loop<32>(rule, rows, constants);
      default: return loop<0>(rule, rows, constants);
    }
  }
  template <int64_t kWidth, class Constants>
  INTERPLAY_INLINE static void loop(const Rule& rule, const Rows& rows, const Constants& constants) {
    const int64_t width = kWidth > 0 ? kWidth : rows.width;
    for (int64_t r = 0; r < rows.count; ++r) {
      const int64_t place = rows.index ? rows.index[r] : r;
      rule.row(rows.w + place * rows.w_stride, rows.g + r * width, rows.s + place * rows.s_stride, width, constants);
    }
  }
};

}  // namespace interplay
