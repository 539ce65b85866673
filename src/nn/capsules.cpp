#include <interplay/nn/capsules.h>

#include <ATen/ATen.h>
#include <torch/nn/init.h>

#include <interplay/nn/row_linear.h>

namespace interplay::nn {

at::Tensor squash(const at::Tensor& v) {
  const auto squares = v.square().sum(-1, true);
  return v * (squares / (1 + squares) / squares.clamp_min(1e-18).sqrt());
}

CapsulesImpl::CapsulesImpl(int64_t width, const CapsulesOptions& o) : options_(o) {
  routing = register_buffer("routing", at::randn({o.capsules, o.positions}));
  shared = register_parameter("shared", at::empty({width, width}));
  torch::nn::init::xavier_normal_(shared);
  mlp_ = register_module("mlp", Mlp(width, MlpOptions{.hidden = {2 * width}, .output = width}));
}

at::Tensor CapsulesImpl::route(const PaddedSequence& x) {
  const auto h = row_linear(x.vectors, shared);                                       // [B, T, E]
  auto b = routing.narrow(1, 0, h.size(1)).unsqueeze(0).expand({h.size(0), -1, -1});  // [B, capsules, T]
  at::Tensor u;
  for (int64_t step = 0; step < options_.steps; ++step) {
    const auto w = b.softmax(1) * x.valid.unsqueeze(1);
    u = squash(at::matmul(w, h));  // [B, capsules, E]
    if (step + 1 < options_.steps) b = b + at::matmul(u, h.transpose(1, 2));
  }
  return u;
}

at::Tensor CapsulesImpl::forward(const SequenceVectors& sequence) {
  const int64_t E = shared.size(0), K = options_.capsules;
  const auto last = last_entries(sequence, options_.positions);
  const auto u = last.vectors.size(0) == 0 ? at::zeros({sequence.batch(), K, E}, shared.options()) : route(pad(last));
  const auto y = mlp_(u.reshape({-1, E}));
  return (y / y.norm(2, 1, true).clamp_min(1e-12)).view({-1, K, E});
}

}  // namespace interplay::nn
