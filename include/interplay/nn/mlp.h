#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <torch/nn/module.h>
#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/modules/normalization.h>
#include <torch/nn/pimpl.h>

#include <interplay/base/options.h>

namespace interplay::nn {

class Bf16Weight;

/// A linear layer with the field's usual start: Xavier normal weight, zero bias.
INTERPLAY_API torch::nn::Linear xavier_linear(int64_t in, int64_t out, bool bias = true);

/// Dice (Zhou et al. 2018, DIN, eq. 3): y = p x + (1 - p) alpha x, p = sigmoid(normalised x), alpha learned from 0.
/// The normalisation is batch norm without affine, eps 1e-9, momentum 0.01 as in FuxiCTR. f32 [N, H] -> f32 [N, H]
class INTERPLAY_API DiceImpl : public torch::nn::Module {
 public:
  explicit DiceImpl(int64_t width);
  at::Tensor forward(const at::Tensor& x);
  at::Tensor alpha;  ///< f32 [H]

 private:
  torch::nn::BatchNorm1d norm_;
};
TORCH_MODULE(Dice);

/// Names that `activation:` options accept.
INTERPLAY_API std::vector<std::string> activation_names();

struct MlpOptions {
  std::vector<int64_t> hidden = {400, 400, 400};
  double dropout = 0;               ///< drop rate after each hidden layer, in [0, 1)
  std::string norm = "none";        ///< none | batch | layer, between the linear map and the activation
  std::string activation = "relu";  ///< one of activation_names()
  int64_t output = 1;               ///< width of a last linear layer; 0 = none: the last hidden layer is the result

  /// What a model's user chooses, declared once for every model: `mlp.visit(field)` in its Options.
  void visit(auto&& field) {
    field("hidden", hidden, "widths of the hidden layers", Range{1, 1e6});
    field("dropout", dropout, "drop rate after each hidden layer", Range{0, 0.99});
    field("norm", norm, "normalisation of the hidden layers", OneOf{{"none", "batch", "layer"}});
    field("activation", activation, "of the hidden layers", OneOf{activation_names()});
  }
};

/// Linear, norm, activation, dropout per hidden layer, then a linear layer. f32 [N, in] -> f32 [N, output or last
/// hidden]. Under a PrecisionGuard for bf16 the hidden layers' matrix products have bf16 factors.
class INTERPLAY_API MlpImpl : public torch::nn::Module {
 public:
  MlpImpl(int64_t in, MlpOptions options);
  at::Tensor forward(at::Tensor x);
  int64_t out() const { return out_; }  ///< width of the result

  /// forward() in two halves: all but the last linear layer, f32 [N, in] -> f32 [N, last hidden], and that layer.
  at::Tensor hidden(at::Tensor x);
  at::Tensor output(const at::Tensor& hidden);
  int64_t hidden_width() const { return hidden_width_; }

 private:
  struct Layer {
    torch::nn::Linear linear{nullptr};
    torch::nn::BatchNorm1d batch_norm{nullptr};
    torch::nn::LayerNorm layer_norm{nullptr};
    std::function<at::Tensor(const at::Tensor&)> activation;
    bool is_relu_alone = false;  // linear and relu, no normalisation
    std::shared_ptr<Bf16Weight> bf16;
  };
  at::Tensor layers(at::Tensor x, bool fused);
  at::Tensor layers_bf16(at::Tensor x);
  bool is_relu_;
  std::vector<Layer> layers_;
  torch::nn::Linear output_{nullptr};
  double dropout_;
  int64_t out_, hidden_width_;
};
TORCH_MODULE(Mlp);

}  // namespace interplay::nn
