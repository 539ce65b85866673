#pragma once

#include <ATen/core/Tensor.h>
#include <torch/nn/modules/linear.h>

#include <interplay/base/api.h>

/// Linear layers for whoever makes scores. A matrix product takes the last rows of a batch by another path, on which
/// their sums may end in other bits: 103 equal rows have two scores then, and AUC counts them as ordered. Where no
/// graph is kept, equal rows get equal numbers here wherever they stand; while a model trains, it is at::linear.
namespace interplay::nn {

/// x W^T + b: x f32 [.., in], weight f32 [out, in], bias f32 [out] or undefined -> f32 [.., out]
INTERPLAY_API at::Tensor row_linear(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias = {});
INTERPLAY_API at::Tensor row_linear(const at::Tensor& x, const torch::nn::Linear& layer);

/// x . w + b, one number a row: x f32 [N, in], weight f32 [in] or [1, in], bias f32 [1] or undefined -> f32 [N]
INTERPLAY_API at::Tensor row_dot(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias = {});

}  // namespace interplay::nn
