#include <interplay/core/field_linear.h>

#include <ATen/ATen.h>

#include <interplay/nn/fm.h>

namespace interplay {

FieldLinearImpl::FieldLinearImpl(const Schema& schema, bool bias, double init_std)
    : weights_(register_module(
          "weights", FieldEmbedding(schema.plain(), EmbeddingOptions{1, init_std}, FieldChoice{.group = "linear"}))) {
  if (bias) bias_ = register_parameter("bias", at::zeros({}));
}

at::Tensor FieldLinearImpl::forward(const Features& x) {
  const auto sum = nn::sum_fields(weights_(x)).squeeze(1);  // [B]
  return bias_.defined() ? sum + bias_ : sum;
}

}  // namespace interplay
