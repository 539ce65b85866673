#include <interplay/nn/rounded_linear.h>

#include <ATen/ATen.h>

#include <interplay/nn/precision.h>

namespace interplay::nn {

at::Tensor rounded_linear(const at::Tensor& x, const torch::nn::Linear& layer) {
  const bool rounds = precision() == Precision::bf16 && x.scalar_type() == at::kFloat && x.device().is_cpu();
  if (!rounds) return torch::nn::Linear(layer)->forward(x);
  const auto half = [](const at::Tensor& t) { return t.defined() ? t.to(at::kBFloat16) : t; };
  return at::linear(half(x), half(layer->weight), half(layer->bias)).to(at::kFloat);
}

}  // namespace interplay::nn
