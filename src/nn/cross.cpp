#include <interplay/nn/cross.h>

#include <ATen/ATen.h>
#include <torch/nn/init.h>

#include <interplay/base/error.h>
#include <interplay/nn/row_linear.h>

#include "nn/kernels/bf16_layers.h"

namespace interplay::nn {

CrossImpl::CrossImpl(int64_t width, int64_t layers) : bf16_(std::make_shared<Bf16Weight>()) {
  INTERPLAY_CHECK(layers >= 1 && width >= 1, "cross: {} layers of width {}; expected at least one of each", layers,
                  width);
  weight = register_parameter("weight", at::empty({layers, width, width}));
  bias = register_parameter("bias", at::zeros({layers, width}));
  for (int64_t l = 0; l < layers; ++l) torch::nn::init::xavier_normal_(weight.detach()[l]);
}

at::Tensor CrossImpl::forward(const at::Tensor& x0) {
  if (in_bf16(x0)) return bf16_cross(x0, weight, bias, *bf16_);
  auto x = x0;  // [B, W]
  for (int64_t l = 0; l < weight.size(0); ++l) x = at::addcmul(x, x0, row_linear(x, weight[l], bias[l]));
  return x;
}

}  // namespace interplay::nn
