#pragma once

#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>

#include <interplay/nn/attention.h>
#include <interplay/nn/mlp.h>

namespace interplay::nn {

/// |v|^2 / (1 + |v|^2) v / |v| of the last dimension (Sabour et al. 2017, arXiv:1710.09829, eq. 1); zero stays zero.
INTERPLAY_API at::Tensor squash(const at::Tensor& v);

struct CapsulesOptions {
  int64_t capsules = 3, steps = 3, positions = 30;
};

/// Several vectors of one history by dynamic routing, as MIND has them (Li et al. 2019, arXiv:1904.08030, sec. 4.2):
/// with b from a fixed N(0, 1) matrix [capsules, positions], the same for all rows,
///
///     w = softmax over capsules of b    u_k = squash(sum over t of w_kt S h_t)    b_kt += u_k . S h_t
///
/// as often as `steps` says; then an MLP E - 2 E - E and length 1. Of longer histories the last entries; a row without
/// entries reads zeros. f32 entries [N, E] -> f32 [B, capsules, E]. Thread safety: as torch::nn::Module.
class INTERPLAY_API CapsulesImpl : public torch::nn::Module {
 public:
  CapsulesImpl(int64_t width, const CapsulesOptions& options);
  at::Tensor forward(const SequenceVectors& sequence);
  at::Tensor route(const PaddedSequence& x);  ///< f32 [B, capsules, E]: u after the last step

  at::Tensor routing;  ///< f32 [capsules, positions], a buffer
  at::Tensor shared;   ///< f32 [E, E], S

 private:
  CapsulesOptions options_;
  Mlp mlp_{nullptr};
};
TORCH_MODULE(Capsules);

}  // namespace interplay::nn
