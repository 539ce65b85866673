#include "systems/liber/fusion.h"

#include <cmath>
#include <limits>

#include <ATen/ATen.h>

#include <interplay/base/error.h>

namespace interplay::nn {
namespace {

torch::nn::Linear plain_linear(int64_t width) {
  return torch::nn::Linear(torch::nn::LinearOptions(width, width).bias(false));
}

}  // namespace

CausalAttentionImpl::CausalAttentionImpl(int64_t width, int64_t heads) : heads_(heads) {
  INTERPLAY_CHECK(heads >= 1 && width % heads == 0, "{} heads do not divide a width of {}", heads, width);
  query_ = register_module("query", plain_linear(width));
  key_ = register_module("key", plain_linear(width));
  value_ = register_module("value", plain_linear(width));
  output_ = register_module("output", plain_linear(width));
}

at::Tensor CausalAttentionImpl::forward(const at::Tensor& x, const at::Tensor& valid) {
  const int64_t B = x.size(0), T = x.size(1), K = x.size(2), head = K / heads_;
  const auto split = [&](torch::nn::Linear& layer) {  // [B, H, T, K / H]
    return layer(x).view({B, T, heads_, head}).transpose(1, 2);
  };
  auto scores = at::matmul(split(query_), split(key_).transpose(2, 3)) / std::sqrt(double(head));  // [B, H, T, T]
  const auto later = at::ones({T, T}, at::TensorOptions(at::kBool)).triu(1);
  const auto hidden = later.logical_or(valid.logical_not().view({B, 1, 1, T}));
  // A finite number: what is not valid sees nothing, and must not become NaN.
  scores = scores.masked_fill(hidden, -1e30);
  const auto sums = at::matmul(scores.softmax(-1), split(value_));  // [B, H, T, K / H]
  return x + output_(sums.transpose(1, 2).reshape({B, T, K}));
}

at::Tensor attend(const at::Tensor& q, const at::Tensor& y, const at::Tensor& valid) {
  const auto scores = at::matmul(y, q.unsqueeze(2)).squeeze(2).masked_fill(valid.logical_not(), -1e30);  // [B, T]
  const auto weights = scores.softmax(1) * valid.to(scores.scalar_type());
  return at::matmul(weights.unsqueeze(1), y).squeeze(1);
}

HybridExpertsImpl::HybridExpertsImpl(int64_t sources, const Options& o) {
  const MlpOptions expert{.hidden = {o.hidden, o.out}, .activation = "relu", .output = 0};
  if (o.shared > 0) shared_ = register_module("shared", Experts(o.shared, o.in, expert));
  for (int64_t s = 0; s < sources; ++s) {
    own_.push_back(register_module("own_" + std::to_string(s), Experts(o.own, o.in, expert)));
    gates_.push_back(register_module("gate_" + std::to_string(s), torch::nn::Linear(o.in, o.shared + o.own)));
  }
}

at::Tensor HybridExpertsImpl::forward(const std::vector<at::Tensor>& sources) {
  std::vector<at::Tensor> out;
  for (size_t s = 0; s < sources.size(); ++s) {
    const auto& x = sources[s];
    auto said = own_[s](x);  // [B, own, out]
    if (shared_) said = at::cat({shared_(x), said}, 1);
    out.push_back((gates_[s](x).softmax(1).unsqueeze(2) * said).sum(1));
  }
  return at::stack(out, 1);
}

}  // namespace interplay::nn
