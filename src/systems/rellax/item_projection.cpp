#include "systems/rellax/item_projection.h"

#include <ATen/ATen.h>
#include <torch/nn/init.h>

namespace interplay {

ItemProjectionImpl::ItemProjectionImpl(int64_t width, int64_t lm_width)
    : up_(register_module("up", torch::nn::Linear(width, lm_width))),
      out_(register_module("out", torch::nn::Linear(lm_width, lm_width))) {
  const at::NoGradGuard no_grad;
  for (auto* const linear : {up_.get(), out_.get()}) {
    torch::nn::init::xavier_normal_(linear->weight);
    linear->bias.zero_();
  }
}

at::Tensor ItemProjectionImpl::forward(const at::Tensor& items) { return out_(at::gelu(up_(items))); }

}  // namespace interplay
