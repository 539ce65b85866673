#include "systems/flip/heads.h"

#include <limits>

#include <ATen/ATen.h>

#include <interplay/nn/dropout.h>
#include <interplay/nn/rounded_linear.h>

namespace interplay::flip {

MaskedFeatureHeadImpl::MaskedFeatureHeadImpl(int64_t hidden, int64_t text, int64_t fields, int64_t width)
    : text_(text), fields_(fields), width_(width) {
  if (text > 0) {
    query = register_module("query", torch::nn::Linear(hidden, text));
    norm = register_module("norm", torch::nn::LayerNorm(torch::nn::LayerNormOptions({text})));
  }
  output = register_module("output", torch::nn::Linear(hidden + text, fields * width));
}

at::Tensor MaskedFeatureHeadImpl::forward(const at::Tensor& v, const at::Tensor& states, const at::Tensor& lengths) {
  at::Tensor joined = v;
  if (text_ > 0) {
    auto attended = at::zeros({v.size(0), text_}, v.options());
    if (states.defined()) {
      const auto behind = at::arange(states.size(1), lengths.options()).unsqueeze(0) >= lengths.unsqueeze(1);
      const auto q = norm(query(v));                                     // [B, D]
      const auto score = at::matmul(states, q.unsqueeze(2)).squeeze(2);  // [B, L]
      const auto weight = score.masked_fill(behind, -std::numeric_limits<double>::infinity()).softmax(1);
      attended = at::matmul(weight.unsqueeze(1), states).squeeze(1);  // [B, D]
    }
    joined = at::cat({v, attended}, 1);
  }
  return output(joined).view({v.size(0), fields_, width_});
}

MaskedTokenHeadImpl::MaskedTokenHeadImpl(int64_t text, int64_t hidden, int64_t vocabulary, double dropout)
    : hidden_(hidden), dropout_(dropout) {
  inner = register_module("inner", torch::nn::Linear(text + hidden, text));
  output = register_module("output", torch::nn::Linear(text, vocabulary));
}

at::Tensor MaskedTokenHeadImpl::forward(const at::Tensor& h, const at::Tensor& v) {
  at::Tensor joined = h;
  if (hidden_ > 0) joined = at::cat({h, v.defined() ? v : at::zeros({h.size(0), hidden_}, h.options())}, 1);
  return nn::rounded_linear(nn::dropout(at::tanh(inner(joined)), dropout_, is_training()), output);
}

}  // namespace interplay::flip
