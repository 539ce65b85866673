#include <interplay/nn/mlp.h>

#include <algorithm>
#include <map>

#include <ATen/ATen.h>
#include <torch/nn/init.h>

#include <interplay/base/config.h>
#include <interplay/base/error.h>
#include <interplay/nn/row_linear.h>

#include "nn/kernels/bf16_layers.h"
#include "nn/kernels/f32_layers.h"
#include "nn/kernels/watched_call.h"

namespace interplay::nn {
namespace {

using Function = std::function<at::Tensor(const at::Tensor&)>;

const std::map<std::string, at::Tensor (*)(const at::Tensor&)>& plain_activations() {
  static const std::map<std::string, at::Tensor (*)(const at::Tensor&)> table{
      {"relu", [](const at::Tensor& x) { return at::relu(x); }},
      {"leaky_relu", [](const at::Tensor& x) { return at::leaky_relu(x); }},
      {"gelu", [](const at::Tensor& x) { return at::gelu(x); }},
      {"silu", [](const at::Tensor& x) { return at::silu(x); }},
      {"sigmoid", [](const at::Tensor& x) { return at::sigmoid(x); }},
      {"tanh", [](const at::Tensor& x) { return at::tanh(x); }},
      {"linear", [](const at::Tensor& x) { return x; }},
  };
  return table;
}

/// One row has no variance to normalise by: a last batch of one then uses the running statistics.
at::Tensor normalise(torch::nn::BatchNorm1d& norm, const at::Tensor& x) {
  if (x.size(0) > 1 || !norm->is_training()) return norm(x);
  return at::batch_norm(x, norm->weight, norm->bias, norm->running_mean, norm->running_var, false,
                        norm->options.momentum().value_or(0.1), norm->options.eps(), false);
}

}  // namespace

torch::nn::Linear xavier_linear(int64_t in, int64_t out, bool bias) {
  INTERPLAY_CHECK(
      in >= 1 && out >= 1,
      "a linear layer from {} to {} numbers; the model has nothing to read or to give, check fields.keep and "
      "fields.drop",
      in, out);
  torch::nn::Linear linear(torch::nn::LinearOptions(in, out).bias(bias));
  torch::nn::init::xavier_normal_(linear->weight);
  if (bias) torch::nn::init::zeros_(linear->bias);
  return linear;
}

DiceImpl::DiceImpl(int64_t width)
    : alpha(register_parameter("alpha", at::zeros({width}))),
      norm_(register_module("norm", torch::nn::BatchNorm1d(
                                        torch::nn::BatchNorm1dOptions(width).affine(false).eps(1e-9).momentum(0.01)))) {
}

namespace {

at::Tensor dice(const at::Tensor& x, const at::Tensor& normalised, const at::Tensor& alpha) {
  const auto p = at::sigmoid(normalised);
  return p * x + (1 - p) * alpha * x;
}

}  // namespace

at::Tensor DiceImpl::forward(const at::Tensor& x) {
  if (PlainScope::active() && !is_training())
    return watched_call("interplay::dice", x, alpha, norm_->running_mean, norm_->running_var, norm_->options.eps());
  return dice(x, normalise(norm_, x), alpha);
}

TORCH_LIBRARY_FRAGMENT(interplay, m) {
  m.def("dice(Tensor x, Tensor alpha, Tensor mean, Tensor variance, float eps) -> Tensor",
        [](const at::Tensor& x, const at::Tensor& alpha, const at::Tensor& mean, const at::Tensor& variance,
           double eps) { return dice(x, at::batch_norm(x, {}, {}, mean, variance, false, 0, eps, false), alpha); });
}

std::vector<std::string> activation_names() {
  std::vector<std::string> names{"dice", "prelu"};
  for (const auto& [name, function] : plain_activations()) names.push_back(name);
  std::sort(names.begin(), names.end());
  return names;
}

MlpImpl::MlpImpl(int64_t in, MlpOptions options)
    : is_relu_(options.activation == "relu"), dropout_(options.dropout), out_(in), hidden_width_(in) {
  INTERPLAY_CHECK(in >= 1, "mlp: the input is {} wide; the model has no field to read", in);
  for (size_t i = 0; i < options.hidden.size(); ++i) {
    const int64_t width = options.hidden[i];
    INTERPLAY_CHECK(width >= 1, "mlp: hidden layer {} is {} wide; expected at least 1", i, width);
    Layer layer;
    layer.linear = register_module(fmt::format("linear{}", i), xavier_linear(out_, width));
    if (options.norm == "batch") {
      layer.batch_norm = register_module(fmt::format("norm{}", i), torch::nn::BatchNorm1d(width));
    } else if (options.norm == "layer") {
      layer.layer_norm =
          register_module(fmt::format("norm{}", i), torch::nn::LayerNorm(torch::nn::LayerNormOptions({width})));
    } else {
      INTERPLAY_CHECK(options.norm == "none", "mlp: norm '{}' is not known (none | batch | layer)", options.norm);
    }
    if (options.activation == "dice") {
      Dice dice = register_module(fmt::format("dice{}", i), Dice(width));
      layer.activation = [dice](const at::Tensor& x) mutable { return dice(x); };
    } else if (options.activation == "prelu") {
      auto slope = register_parameter(fmt::format("slope{}", i), at::full({width}, 0.25));
      layer.activation = [slope](const at::Tensor& x) { return at::prelu(x, slope); };
    } else {
      const auto known = plain_activations().find(options.activation);
      INTERPLAY_CHECK(known != plain_activations().end(), "mlp: activation '{}' is not known (there are: {})",
                      options.activation, fmt::join(activation_names(), ", "));
      layer.activation = known->second;
    }
    layer.is_relu_alone = is_relu_ && options.norm == "none";
    layer.bf16 = std::make_shared<Bf16Weight>();
    layers_.push_back(std::move(layer));
    out_ = width;
  }
  hidden_width_ = out_;
  if (options.output > 0) {
    output_ = register_module("output", xavier_linear(out_, options.output));
    out_ = options.output;
  }
}

/// The hidden layers, whose result may be bf16.
at::Tensor MlpImpl::layers_bf16(at::Tensor x) {
  for (auto& layer : layers_) {
    x = bf16_linear(x, layer.linear->weight, layer.linear->bias, layer.is_relu_alone, *layer.bf16);
    if (!layer.is_relu_alone) {
      x = x.to(at::kFloat);
      if (layer.batch_norm) x = normalise(layer.batch_norm, x);
      if (layer.layer_norm) x = layer.layer_norm(x);
      x = layer.activation(x);
    }
    if (dropout_ > 0) x = at::dropout(x, dropout_, is_training());
  }
  return x;
}

at::Tensor MlpImpl::layers(at::Tensor x, bool fused) {
  for (auto& layer : layers_) {
    if (fused && layer.is_relu_alone) {
      x = f32_linear_relu(x, layer.linear->weight, layer.linear->bias);
    } else {
      x = row_linear(x, layer.linear);
      if (layer.batch_norm) x = normalise(layer.batch_norm, x);
      if (layer.layer_norm) x = layer.layer_norm(x);
      x = is_relu_ ? x.relu_() : layer.activation(x);  // in place: nothing else reads what it is computed from
    }
    if (dropout_ > 0) x = at::dropout(x, dropout_, is_training());
  }
  return x;
}

at::Tensor MlpImpl::forward(at::Tensor x) {
  const bool one = output_ && output_->weight.size(0) == 1;
  if (in_bf16(x)) {
    x = layers_bf16(std::move(x));
    if (one && x.scalar_type() == at::kBFloat16) return bf16_dot(x, output_->weight, output_->bias);
    x = x.to(at::kFloat);
    return output_ ? output_(x) : x;
  }
  const bool fused = is_fused_f32(x);
  x = layers(std::move(x), fused);
  if (fused && one) return f32_dot(x, output_->weight, output_->bias);
  return output_ ? row_linear(x, output_) : x;
}

at::Tensor MlpImpl::hidden(at::Tensor x) {
  if (in_bf16(x)) return layers_bf16(std::move(x)).to(at::kFloat);
  const bool fused = is_fused_f32(x);
  return layers(std::move(x), fused);
}

at::Tensor MlpImpl::output(const at::Tensor& hidden) {
  if (!output_) return hidden;
  const bool fused = !at::GradMode::is_enabled() && is_fused_f32(hidden);
  if (fused && output_->weight.size(0) == 1) return f32_dot(hidden, output_->weight, output_->bias);
  return row_linear(hidden, output_);
}

}  // namespace interplay::nn
