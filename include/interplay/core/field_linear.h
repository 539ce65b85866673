#pragma once

#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>

#include <interplay/core/field_embedding.h>

namespace interplay {

/// First-order twin of FieldEmbedding: sum of one weight a value, plus a bias. Features -> f32 [B]
/// Parameter groups: linear (which follows `embedding` where the optimizer does not name it); the bias is dense.
class INTERPLAY_API FieldLinearImpl : public torch::nn::Module, public nn::HasGroup {
 public:
  explicit FieldLinearImpl(const Schema& schema, bool bias = true, double init_std = 1e-4);
  at::Tensor forward(const Features& x);
  std::string parameter_group() const override { return "dense"; }

 private:
  FieldEmbedding weights_;
  at::Tensor bias_;
};
TORCH_MODULE(FieldLinear);

}  // namespace interplay
