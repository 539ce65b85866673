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

/// x f32 [B, K] with mean 0 and deviation 1 over the rows, number by number; one that is the same in all of them
/// becomes 0. Before rows are contrasted, so that what they have in common does not hide what they differ in: where
/// vectors are nearly alike, and have not begun to differ, the loss is flat (batch normalisation in the heads of Chen
/// et al. 2020, arXiv:2002.05709, does as much). With gradients.
INTERPLAY_API at::Tensor standardised(const at::Tensor& x);

/// Queries and what they look for: passage i g is that of query i, the g - 1 behind it are those it is told from, and
/// so are all passages of the other queries (Karpukhin et al. 2020, arXiv:2004.04906):
///
///     s_ij = cos(q_i, p_j) / temperature      loss_i = log sum_j exp(s_ij) - s_i(ig)
///
/// queries f32 [B, K], passages f32 [B g, K] -> f32 [B], with gradients to both. Throws Error where the shapes do not
/// fit.
INTERPLAY_API at::Tensor info_nce_of_passages(const at::Tensor& queries, const at::Tensor& passages,
                                              double temperature);

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
