#pragma once

#include <vector>

#include <torch/nn/module.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/pimpl.h>

#include <interplay/base/api.h>

namespace interplay::nn {

struct CinOptions {
  std::vector<int64_t> hidden = {16, 16};  ///< H_k, maps of each layer
  bool relu = false;                       ///< of the maps; FuxiCTR has none, DeepCTR has it
  bool split_half = false;                 ///< all but the last layer: half of the maps go on, half to the result
};

/// Compressed interaction network (Lian et al. 2018, arXiv:1803.05170, eq. 6 to 8): map h of layer k is
///
///     x^k_h = sum over m, i of W^k_h,mi (x^0_m * x^{k-1}_i) + b^k_h
///
/// number by number. Channel m H_{k-1} + i of W is the product of field m and map i. The maps, each summed over its D
/// numbers, are the result. x^0 f32 [B, F, D] -> f32 [B, out()]
class INTERPLAY_API CinImpl : public torch::nn::Module {
 public:
  /// Throws Error without a layer, and where half of an odd number of maps is asked for.
  CinImpl(int64_t fields, const CinOptions& options);
  at::Tensor forward(const at::Tensor& x0);
  int64_t out() const { return out_; }

 private:
  CinOptions options_;
  std::vector<torch::nn::Linear> layers_;
  int64_t out_ = 0;
};
TORCH_MODULE(Cin);

}  // namespace interplay::nn
