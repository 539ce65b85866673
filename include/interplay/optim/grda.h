#pragma once

#include <ATen/core/Tensor.h>

#include <interplay/base/api.h>

namespace interplay {

/// What `grda` remembers of a row of K weights, read from its state (Optimizer::state()).
struct GrdaState {
  at::Tensor v;          ///< f32 [K]: a weight is sign(v) max(|v| - threshold, 0)
  double threshold = 0;  ///< A
  int64_t steps = 0;
};
/// f32 [R, K + 3] -> of row r
INTERPLAY_API GrdaState grda_state(const at::Tensor& state, int64_t row = 0);

}  // namespace interplay
