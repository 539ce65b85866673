#pragma once

#include <memory>

#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>

#include <interplay/base/api.h>

namespace interplay::nn {

class Bf16Weight;

/// Explicit crossing of DCN-V2 (Wang et al. 2021, arXiv:2008.13535, eq. 1): x_{l+1} = x_0 * (W_l x_l + b_l) + x_l.
/// Thread safety: concurrent forward() under NoGradGuard is allowed.
class INTERPLAY_API CrossImpl : public torch::nn::Module {
 public:
  CrossImpl(int64_t width, int64_t layers);  ///< layers >= 1, else throws interplay::Error
  at::Tensor forward(const at::Tensor& x0);  ///< f32 [B, W] -> f32 [B, W]
  at::Tensor weight;                         ///< f32 [layers, W, W]; y = weight[l] x; Xavier normal
  at::Tensor bias;                           ///< f32 [layers, W]; zero at the start

 private:
  std::shared_ptr<Bf16Weight> bf16_;
};
TORCH_MODULE(Cross);

}  // namespace interplay::nn
