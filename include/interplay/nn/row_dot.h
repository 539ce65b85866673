#pragma once

#include <ATen/core/Tensor.h>

#include <interplay/base/api.h>

namespace interplay::nn {

/// x . w + b, one number a row: x f32 [N, in], weight f32 [in] or [1, in], bias f32 [1] or undefined -> f32 [N].
/// Equal rows get equal numbers wherever they stand. A Linear of one output and at::mv do not promise that: they take
/// the last rows of a batch by another path, and 103 equal rows have two logits then.
INTERPLAY_API at::Tensor row_dot(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias = {});

}  // namespace interplay::nn
