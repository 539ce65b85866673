#include <interplay/nn/contrastive.h>

#include <ATen/ATen.h>

#include <interplay/base/error.h>
#include <interplay/nn/dropout.h>

namespace interplay::nn {
namespace {

at::Tensor unit(const at::Tensor& x) { return x / at::linalg_vector_norm(x, 2, {1}, true).clamp_min(1e-12); }

}  // namespace

at::Tensor info_nce(const at::Tensor& a, const at::Tensor& b, double temperature, bool normalise) {
  INTERPLAY_CHECK(a.dim() == 2 && a.sizes() == b.sizes(), "InfoNCE: vectors [{}] and [{}]; expected [B, K] twice",
                  fmt::join(a.sizes(), ", "), fmt::join(b.sizes(), ", "));
  const auto score = (normalise ? unit(a).matmul(unit(b).t()) : a.matmul(b.t())) / temperature;  // [B, B]
  return (at::logsumexp(score, 1) + at::logsumexp(score, 0)) / 2 - score.diagonal();
}

ProjectionHeadImpl::ProjectionHeadImpl(int64_t in, int64_t out, double dropout) : dropout_(dropout) {
  first = register_module("first", torch::nn::Linear(in, out));
  second = register_module("second", torch::nn::Linear(out, out));
  norm = register_module("norm", torch::nn::LayerNorm(torch::nn::LayerNormOptions({out})));
}

at::Tensor ProjectionHeadImpl::forward(const at::Tensor& x) {
  const auto p = first(x);
  return norm(p + nn::dropout(second(at::gelu(p)), dropout_, is_training()));
}

}  // namespace interplay::nn
