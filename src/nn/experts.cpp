#include <interplay/nn/experts.h>

#include <ATen/ATen.h>

#include <interplay/base/error.h>
#include <interplay/nn/row_linear.h>

namespace interplay::nn {

TowersImpl::TowersImpl(int64_t labels, int64_t in, const MlpOptions& tower) {
  INTERPLAY_CHECK(labels >= 1, "towers: the schema has no label to learn");
  for (int64_t t = 0; t < labels; ++t) towers_.push_back(register_module(fmt::format("tower{}", t), Mlp(in, tower)));
}

at::Tensor TowersImpl::forward(const std::vector<at::Tensor>& each) {
  INTERPLAY_CHECK(each.size() == towers_.size(), "towers: {} inputs for {} labels", each.size(), towers_.size());
  std::vector<at::Tensor> logits;
  for (size_t t = 0; t < towers_.size(); ++t) logits.push_back(towers_[t](each[t]));  // [B, 1]
  return logits.size() == 1 ? logits[0].squeeze(1) : at::cat(logits, 1);
}

at::Tensor TowersImpl::of_shared(const at::Tensor& x) { return forward(std::vector<at::Tensor>(towers_.size(), x)); }

ExpertsImpl::ExpertsImpl(int64_t count, int64_t in, const MlpOptions& expert) : out_(in) {
  INTERPLAY_CHECK(count >= 1, "experts: {}; expected at least one", count);
  for (int64_t k = 0; k < count; ++k) experts_.push_back(register_module(fmt::format("expert{}", k), Mlp(in, expert)));
  out_ = experts_[0]->out();
}

at::Tensor ExpertsImpl::forward(const at::Tensor& x) {
  std::vector<at::Tensor> each;
  for (auto& expert : experts_) each.push_back(expert(x));  // [B, H]
  return at::stack(each, 1);
}

GateImpl::GateImpl(int64_t in, int64_t experts, MlpOptions hidden) {
  if (hidden.hidden.empty()) {
    linear_ = register_module("linear", xavier_linear(in, experts, /*bias=*/false));
  } else {
    hidden.output = experts;
    mlp_ = register_module("mlp", Mlp(in, hidden));
  }
}

at::Tensor GateImpl::weights(const at::Tensor& x) { return at::softmax(linear_ ? row_linear(x, linear_) : mlp_(x), 1); }

at::Tensor GateImpl::forward(const at::Tensor& x, const at::Tensor& experts) {
  return (weights(x).unsqueeze(2) * experts).sum(1);
}

}  // namespace interplay::nn
