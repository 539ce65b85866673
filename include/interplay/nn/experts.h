#pragma once

#include <string>
#include <vector>

#include <torch/nn/module.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/pimpl.h>

#include <interplay/base/options.h>
#include <interplay/nn/mlp.h>

namespace interplay::nn {

/// What models of several labels have in common, declared once: `tasks.visit(field)` in their Options.
struct TaskOptions {
  std::vector<int64_t> tower_hidden = {64};
  double dropout = 0;
  std::string norm = "none", activation = "relu";
  void visit(auto&& field) {
    field("tower_hidden", tower_hidden, "widths of the hidden layers of each label's tower", Range{1, 1e6});
    field("dropout", dropout, "drop rate after each hidden layer", Range{0, 0.99});
    field("norm", norm, "normalisation of the hidden layers", OneOf{{"none", "batch", "layer"}});
    field("activation", activation, "of the hidden layers", OneOf{activation_names()});
  }
  MlpOptions tower() const { return {tower_hidden, dropout, norm, activation, 1}; }
  /// Layers whose last hidden one is the result.
  MlpOptions body(std::vector<int64_t> hidden) const { return {std::move(hidden), dropout, norm, activation, 0}; }
};

/// As TaskOptions, of models whose labels mix experts by gates.
struct MixtureOptions : TaskOptions {
  MixtureOptions() : TaskOptions{.tower_hidden = {128, 64}} {}
  std::vector<int64_t> expert_hidden = {512, 256, 128}, gate_hidden;
  void visit(auto&& field) {
    field("expert_hidden", expert_hidden, "widths of an expert's hidden layers", Range{1, 1e6});
    field("gate_hidden", gate_hidden, "widths of a gate's hidden layers; [] = one matrix, as in the paper",
          Range{1, 1e6});
    TaskOptions::visit(field);
  }
  MlpOptions expert() const { return body(expert_hidden); }
  MlpOptions gate() const { return body(gate_hidden); }
};

/// A tower for each label: T times an MLP, f32 [B, in] each -> logits f32 [B, T], or [B] for one label.
/// Thread safety: as torch modules; concurrent forward() in eval mode is allowed.
class INTERPLAY_API TowersImpl : public torch::nn::Module {
 public:
  TowersImpl(int64_t labels, int64_t in, const MlpOptions& tower);
  at::Tensor forward(const std::vector<at::Tensor>& each);  ///< one input a label
  at::Tensor of_shared(const at::Tensor& x);                ///< the same input for all

 private:
  std::vector<Mlp> towers_;
};
TORCH_MODULE(Towers);

/// Several MLPs over one input, and mixtures of what they say. With experts f_k and a gate's weights
/// g = softmax(W x): f32 [B, in] -> sum_k g_k f_k(x).
class INTERPLAY_API ExpertsImpl : public torch::nn::Module {
 public:
  ExpertsImpl(int64_t count, int64_t in, const MlpOptions& expert);
  at::Tensor forward(const at::Tensor& x);  ///< f32 [B, in] -> [B, count, out()]
  int64_t out() const { return out_; }

 private:
  std::vector<Mlp> experts_;
  int64_t out_;
};
TORCH_MODULE(Experts);

/// A gate: softmax(W x) over n experts, W without bias (Ma et al. 2018, MMoE, eq. 7; Tang et al. 2020, PLE, eq. 2).
/// With `hidden`, an MLP with a last linear layer in place of W.
class INTERPLAY_API GateImpl : public torch::nn::Module {
 public:
  GateImpl(int64_t in, int64_t experts, MlpOptions hidden);
  at::Tensor weights(const at::Tensor& x);                             ///< f32 [B, in] -> [B, n], rows sum to 1
  at::Tensor forward(const at::Tensor& x, const at::Tensor& experts);  ///< [B, in], [B, n, H] -> [B, H]

 private:
  torch::nn::Linear linear_{nullptr};
  Mlp mlp_{nullptr};
};
TORCH_MODULE(Gate);

}  // namespace interplay::nn
