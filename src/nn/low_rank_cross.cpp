#include <interplay/nn/low_rank_cross.h>

#include <cmath>

#include <ATen/ATen.h>

#include <interplay/base/error.h>
#include <interplay/nn/row_linear.h>

namespace interplay::nn {
namespace {

/// Xavier normal, each matrix of its own: of `in` numbers to `out`.
at::Tensor drawn(at::IntArrayRef shape, int64_t in, int64_t out) {
  return at::empty(shape).normal_(0, std::sqrt(2.0 / double(in + out)));
}

void check(int64_t width, int64_t layers, int64_t rank, int64_t experts = 1) {
  INTERPLAY_CHECK(width >= 1 && layers >= 1 && rank >= 1 && experts >= 1,
                  "cross: {} layers of width {}, rank {} and {} experts; expected at least one of each", layers, width,
                  rank, experts);
}

}  // namespace

LowRankCrossImpl::LowRankCrossImpl(int64_t width, int64_t layers, int64_t rank) {
  check(width, layers, rank);
  u = register_parameter("u", drawn({layers, width, rank}, rank, width));
  v = register_parameter("v", drawn({layers, rank, width}, width, rank));
  bias = register_parameter("bias", at::zeros({layers, width}));
}

at::Tensor LowRankCrossImpl::forward(const at::Tensor& x0) {
  auto x = x0;  // [B, W]
  for (int64_t l = 0; l < bias.size(0); ++l) x = at::addcmul(x, x0, row_linear(row_linear(x, v[l]), u[l], bias[l]));
  return x;
}

CrossMixtureImpl::CrossMixtureImpl(int64_t width, int64_t layers, int64_t rank, int64_t experts) {
  check(width, layers, rank, experts);
  u = register_parameter("u", drawn({layers, width, experts, rank}, rank, width));
  v = register_parameter("v", drawn({layers, experts, rank, width}, width, rank));
  core = register_parameter("core", drawn({layers, experts, rank, rank}, rank, rank));
  bias = register_parameter("bias", at::zeros({layers, width}));
  gate = register_parameter("gate", drawn({experts, width}, width, 1));
}

at::Tensor CrossMixtureImpl::forward(const at::Tensor& x0) {
  const int64_t experts = gate.size(0), rank = core.size(3);
  auto x = x0;  // [B, W]
  for (int64_t l = 0; l < bias.size(0); ++l) {
    const auto p = row_linear(x, gate).softmax(1);                // [B, E]
    const auto inner = row_linear(x, v[l].flatten(0, 1)).tanh();  // [B, E r]
    std::vector<at::Tensor> each;
    for (int64_t e = 0; e < experts; ++e)
      each.push_back(row_linear(inner.narrow(1, e * rank, rank), core[l][e]).tanh() * p.narrow(1, e, 1));
    x = at::addcmul(x, x0, row_linear(at::cat(each, 1), u[l].flatten(1), bias[l]));
  }
  return x;
}

}  // namespace interplay::nn
