#pragma once

#include <ATen/core/Tensor.h>

/// Dense layers in f32 that pass over memory less often than their ATen twins. CPU only.
namespace interplay::nn {

/// relu(x W^T + b): x f32 [N, in], weight f32 [out, in], bias f32 [out] -> f32 [N, out]
at::Tensor f32_linear_relu(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias);

/// Rows of zeros behind x [N, in], so that there are as many as a matrix product takes at once: nn::row_linear() says
/// why.
at::Tensor whole_blocks(const at::Tensor& x);

/// x w^T + b for one output: x f32 [N, in], weight f32 [1, in], bias f32 [1] -> f32 [N, 1]
at::Tensor f32_dot(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias);

/// Whether layers that read x may run so: elsewhere the plain twins do.
bool is_fused_f32(const at::Tensor& x);

}  // namespace interplay::nn
