#pragma once

#include <torch/nn/module.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/pimpl.h>

#include <interplay/base/api.h>

namespace interplay {

/// Vectors of a CTR model as vectors of a language model (SPA of ReLLaX, Lin et al. 2025): Linear, GELU, Linear.
/// Weights start as Xavier-normal draws them, biases as 0. f32 [M, d] -> f32 [M, D]
class INTERPLAY_API ItemProjectionImpl : public torch::nn::Module {
 public:
  ItemProjectionImpl(int64_t width, int64_t lm_width);  ///< d, D
  at::Tensor forward(const at::Tensor& items);

 private:
  torch::nn::Linear up_{nullptr}, out_{nullptr};
};
TORCH_MODULE(ItemProjection);

}  // namespace interplay
