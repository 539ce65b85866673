#pragma once

#include <cstdint>
#include <vector>

#include <torch/nn/module.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/pimpl.h>

#include <interplay/base/api.h>
#include <interplay/nn/attention.h>
#include <interplay/nn/experts.h>

/// What LIBER makes of a user's partitions for a row (UIF): one vector by attention, and from it further fields.
namespace interplay::nn {

/// One layer of self-attention in time (Vaswani et al. 2017, arXiv:1706.03762, sec. 3.2.3), partition i reading those
/// up to itself: y_i = x_i + W_o [of each head, softmax over j <= i of (W_q x_i) . (W_k x_j) / sqrt(width of a head)
/// weighs W_v x_j]. No biases. x f32 [B, T, K], valid bool [B, T] -> f32 [B, T, K]; what is not valid is not read, and
/// its own y means nothing.
class INTERPLAY_API CausalAttentionImpl : public torch::nn::Module {
 public:
  CausalAttentionImpl(int64_t width, int64_t heads);  ///< Error unless heads divide the width
  at::Tensor forward(const at::Tensor& x, const at::Tensor& valid);

 private:
  int64_t heads_;
  torch::nn::Linear query_{nullptr}, key_{nullptr}, value_{nullptr}, output_{nullptr};
};
TORCH_MODULE(CausalAttention);

/// softmax over the valid i of q . y_i weighs y_i; zero where none is valid. q f32 [B, K], y f32 [B, T, K], valid bool
/// [B, T] -> f32 [B, K]
INTERPLAY_API at::Tensor attend(const at::Tensor& q, const at::Tensor& y, const at::Tensor& valid);

/// Hybrid experts (Xi et al. 2023, KAR, arXiv:2306.10933, sec. 3.3): what several sources say, each through experts of
/// its own and some that all share, mixed by a gate: softmax(W x + b) over experts relu(W2 relu(W1 x + b1) + b2).
/// f32 [B, in] each -> f32 [B, sources, out]
class INTERPLAY_API HybridExpertsImpl : public torch::nn::Module {
 public:
  struct Options {
    int64_t in = 64, hidden = 128, out = 32, shared = 2, own = 5;
  };
  HybridExpertsImpl(int64_t sources, const Options& options);
  at::Tensor forward(const std::vector<at::Tensor>& sources);

 private:
  Experts shared_{nullptr};  // none where there are to be none
  std::vector<Experts> own_;
  std::vector<torch::nn::Linear> gates_;
};
TORCH_MODULE(HybridExperts);

}  // namespace interplay::nn
