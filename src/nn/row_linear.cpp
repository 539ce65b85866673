#include <interplay/nn/row_linear.h>

#include <ATen/ATen.h>

#include <interplay/nn/plain_scope.h>

#include "nn/kernels/f32_layers.h"

namespace interplay::nn {

at::Tensor row_linear(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
  if (at::GradMode::is_enabled() || x.dim() < 2) return at::linear(x, weight, bias);
  if (x.dim() == 2)
    return is_fused_f32(x) ? at::linear(whole_blocks(x), weight, bias).narrow(0, 0, x.size(0))
                           : at::linear(x, weight, bias);
  if (PlainScope::active()) return at::linear(x, weight, bias);
  const auto rows = x.reshape({-1, x.size(-1)});
  if (!is_fused_f32(rows)) return at::linear(x, weight, bias);
  auto shape = x.sizes().vec();
  shape.back() = weight.size(0);
  return row_linear(rows, weight, bias).reshape(shape);
}

at::Tensor row_linear(const at::Tensor& x, const torch::nn::Linear& layer) {
  return row_linear(x, layer->weight, layer->bias);
}

at::Tensor row_dot(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
  const auto w = weight.view({1, -1});
  if (at::GradMode::is_enabled() || !is_fused_f32(x)) return at::linear(x, w, bias).squeeze(1);
  return f32_dot(x, w, bias.defined() ? bias : at::zeros({1}, x.options())).squeeze(1);
}

}  // namespace interplay::nn
