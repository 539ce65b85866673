#pragma once

#include <ATen/core/Tensor.h>

#include <interplay/base/api.h>

namespace interplay::nn {

/// Of each row the state after its last entry: states f32 [B, T, E], lengths i64 [B] -> f32 [B, E], zero for a row
/// without entries.
INTERPLAY_API at::Tensor last_state(const at::Tensor& states, const at::Tensor& lengths);

}  // namespace interplay::nn
