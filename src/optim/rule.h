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
    for (int64_t r = 0; r < rows.count; ++r) {
      const int64_t place = rows.index ? rows.index[r] : r;
      rule.row(rows.w + place * rows.w_stride, rows.g + r * rows.width, rows.s + place * rows.s_stride, rows.width,
               constants);
    }
  }
};

}  // namespace interplay
