#pragma once

#include <torch/nn/module.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/modules/normalization.h>
#include <torch/nn/pimpl.h>

#include <interplay/base/api.h>

namespace interplay::nn {

/// Two views of the same rows, each row's own pair against those of the batch (InfoNCE, van den Oord et al. 2018,
/// arXiv:1807.03748, in both directions as Radford et al. 2021, arXiv:2103.00020, take it):
///
///     s_ij = <a_i, b_j> / temperature      loss_i = (log sum_j exp(s_ij) + log sum_j exp(s_ji)) / 2 - s_ii
///
/// a, b f32 [B, K]; `normalise` makes their rows 1 long first. f32 [B], with gradients to both; the same with a and b
/// changed over. Throws Error where the shapes differ.
INTERPLAY_API at::Tensor info_nce(const at::Tensor& a, const at::Tensor& b, double temperature, bool normalise = false);

/// What is contrasted of a vector: y = norm(p + dropout(W2 gelu(p))), p = W1 x; layer norm, gelu by erf (as FLIP has
/// it, Wang et al. 2023, arXiv:2310.19453). Thread safety: as torch::nn::Module.
class INTERPLAY_API ProjectionHeadImpl : public torch::nn::Module {
 public:
  ProjectionHeadImpl(int64_t in, int64_t out, double dropout = 0);
  at::Tensor forward(const at::Tensor& x);  ///< f32 [B, in] -> f32 [B, out]

  torch::nn::Linear first{nullptr}, second{nullptr};  ///< W1 [out, in], W2 [out, out]
  torch::nn::LayerNorm norm{nullptr};

 private:
  double dropout_;
};
TORCH_MODULE(ProjectionHead);

}  // namespace interplay::nn
