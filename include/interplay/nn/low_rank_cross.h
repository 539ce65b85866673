#pragma once

#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>

#include <interplay/base/api.h>

/// Crossing of DCN-V2 (Wang et al. 2021, arXiv:2008.13535) by matrices of low rank r: 2 W r numbers a layer for W^2.
/// Thread safety: concurrent forward() under NoGradGuard is allowed.
namespace interplay::nn {

/// x_{l+1} = x_0 * (U_l V_l x_l + b_l) + x_l (sec. 3.3). Matrices start Xavier normal, b from zero.
class INTERPLAY_API LowRankCrossImpl : public torch::nn::Module {
 public:
  LowRankCrossImpl(int64_t width, int64_t layers, int64_t rank);  ///< each >= 1, else throws interplay::Error
  at::Tensor forward(const at::Tensor& x0);                       ///< f32 [B, W] -> f32 [B, W]
  at::Tensor u, v, bias;                                          ///< f32 [layers, W, r], [layers, r, W], [layers, W]
};
TORCH_MODULE(LowRankCross);

/// A mixture of experts of low rank (sec. 3.4), weighed by gates that the layers share:
///
///     x_{l+1} = x_0 * (sum_e p_e U_le tanh(C_le tanh(V_le x_l)) + b_l) + x_l,   p = softmax over e of g_e . x_l
///
/// Matrices and gates start Xavier normal, b from zero.
class INTERPLAY_API CrossMixtureImpl : public torch::nn::Module {
 public:
  CrossMixtureImpl(int64_t width, int64_t layers, int64_t rank, int64_t experts);
  at::Tensor forward(const at::Tensor& x0);  ///< f32 [B, W] -> f32 [B, W]
  at::Tensor u;                              ///< f32 [layers, W, experts, r]
  at::Tensor v;                              ///< f32 [layers, experts, r, W]
  at::Tensor core;                           ///< C, f32 [layers, experts, r, r]
  at::Tensor bias;                           ///< f32 [layers, W]
  at::Tensor gate;                           ///< g, f32 [experts, W]
};
TORCH_MODULE(CrossMixture);

}  // namespace interplay::nn
