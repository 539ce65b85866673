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

at::Tensor standardised(const at::Tensor& x) {
  const auto centred = x - x.mean(0, true);
  return centred / (centred.square().mean(0, true) + 1e-12).sqrt();
}

at::Tensor info_nce_of_passages(const at::Tensor& queries, const at::Tensor& passages, double temperature) {
  INTERPLAY_CHECK(queries.dim() == 2 && passages.dim() == 2 && queries.size(0) > 0 &&
                      passages.size(0) % queries.size(0) == 0 && passages.size(0) > 0 &&
                      queries.size(1) == passages.size(1),
                  "InfoNCE: queries [{}] and passages [{}]; expected [B, K] and [B g, K]",
                  fmt::join(queries.sizes(), ", "), fmt::join(passages.sizes(), ", "));
  const auto score = unit(queries).matmul(unit(passages).t()) / temperature;  // [B, B g]
  const auto own = at::arange(queries.size(0), at::kLong) * (passages.size(0) / queries.size(0));
  return at::logsumexp(score, 1) - score.gather(1, own.unsqueeze(1)).squeeze(1);
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
