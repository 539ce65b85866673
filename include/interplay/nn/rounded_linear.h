#pragma once

#include <ATen/core/Tensor.h>
#include <torch/nn/modules/linear.h>

#include <interplay/base/api.h>

namespace interplay::nn {

/// x W^T + b with the factors of the thread's precision (PrecisionGuard), for wide products that are learnt: in fp32 it
/// is at::linear; in bf16 the factors, the result and the gradients are rounded to bf16, each sum being one in f32, and
/// all are stored as f32 again. x f32 [.., in], weight f32 [out, in] -> f32 [.., out]; x of another type, as of a model
/// that is bf16 as a whole, is left to the layer.
INTERPLAY_API at::Tensor rounded_linear(const at::Tensor& x, const torch::nn::Linear& layer);

}  // namespace interplay::nn
