#include <cmath>

#include <interplay/model.h>
#include <interplay/nn/row_linear.h>

namespace {

namespace nn = interplay::nn;

struct AutoIntOptions : interplay::EmbeddingOptions {
  int64_t attention_layers = 3, attention_dim = 32, heads = 2;
  bool scale = false, residual = true;
  double attention_dropout = 0;
  bool layer_norm = false;
  bool wide = false;
  std::vector<int64_t> hidden;
  double dropout = 0;
  std::string norm = "none", activation = "relu";

  void visit(auto&& field) {
    EmbeddingOptions::visit(field);
    field("attention_layers", attention_layers, "attention layers", interplay::Range{1, 64});
    field("attention_dim", attention_dim, "width of each attention layer, all heads together",
          interplay::Range{1, 65536});
    field("heads", heads, "heads of each attention layer, a divisor of attention_dim", interplay::Range{1, 65536});
    field("scale", scale, "scores are divided by sqrt(attention_dim / heads); the paper leaves them as they are");
    field("residual", residual, "a layer's input is added to its result");
    field("attention_dropout", attention_dropout, "drop rate of the attention weights", interplay::Range{0, 0.99});
    field("layer_norm", layer_norm, "layer norm in each attention layer, before its relu");
    field("wide", wide, "adds a linear term");
    field("hidden", hidden, "widths of the hidden layers of an MLP beside the attention (AutoInt+); [] = no MLP",
          interplay::Range{1, 1e6});
    field("dropout", dropout, "drop rate after each hidden layer", interplay::Range{0, 0.99});
    field("norm", norm, "normalisation of the hidden layers", interplay::OneOf{{"none", "batch", "layer"}});
    field("activation", activation, "of the hidden layers", interplay::OneOf{nn::activation_names()});
  }
};

/// Interacting layer (sec. 4.4, eq. 5-8): each field attends to all fields of its row. With x_i field i, head h
///
///     a_ij = softmax over j of <Q_h x_i, K_h x_j>,   y_i = relu(norm([sum_j a_ij V_h x_j] for every h, + R x_i))
///
/// R is the identity where widths allow it. f32 [B, F, in] -> f32 [B, F, D]
class InteractingLayerImpl final : public torch::nn::Module {
 public:
  InteractingLayerImpl(int64_t in, const AutoIntOptions& o)
      : heads_(o.heads),
        factor_(o.scale ? 1 / std::sqrt(double(o.attention_dim / o.heads)) : 1),
        dropout_(o.attention_dropout),
        residual_(o.residual),
        query_(register_module("query", nn::xavier_linear(in, o.attention_dim, /*bias=*/false))),
        key_(register_module("key", nn::xavier_linear(in, o.attention_dim, /*bias=*/false))),
        value_(register_module("value", nn::xavier_linear(in, o.attention_dim, /*bias=*/false))) {
    if (residual_ && in != o.attention_dim) {
      projection_ = register_module("projection", nn::xavier_linear(in, o.attention_dim, /*bias=*/false));
    }
    if (o.layer_norm) {
      norm_ = register_module("norm", torch::nn::LayerNorm(torch::nn::LayerNormOptions({o.attention_dim})));
    }
  }

  at::Tensor forward(const at::Tensor& x) {
    const auto by_head = [&](const at::Tensor& t) { return t.unflatten(2, {heads_, -1}).transpose(1, 2); };
    const auto q = by_head(nn::row_linear(x, query_)), k = by_head(nn::row_linear(x, key_)),
               v = by_head(nn::row_linear(x, value_));  // [B, H, F, D / H]
    // softmax(factor q k^T) v in one kernel, dropout on the softmax: [B, H, F, D / H]
    const auto attended = at::scaled_dot_product_attention(q, k, v, /*attn_mask=*/{}, is_training() ? dropout_ : 0,
                                                           /*is_causal=*/false, factor_);
    auto y = attended.transpose(1, 2).flatten(2);  // [B, F, D]
    if (residual_) y = y + (projection_ ? nn::row_linear(x, projection_) : x);
    if (norm_) y = norm_(y);
    return y.relu();
  }

 private:
  int64_t heads_;
  double factor_, dropout_;
  bool residual_;
  torch::nn::Linear query_, key_, value_, projection_{nullptr};
  torch::nn::LayerNorm norm_{nullptr};
};
TORCH_MODULE(InteractingLayer);

/// AutoInt (Song et al. 2019, arXiv:1810.11921): L interacting layers on the field vectors, one linear layer on what
/// they leave of all fields. With `hidden` it is AutoInt+: an MLP on the field vectors is added to the logit.
class AutoInt final : public interplay::Model, public interplay::Represents {
 public:
  using Options = AutoIntOptions;

  AutoInt(const interplay::Schema& schema, const Options& o) {
    INTERPLAY_CHECK(o.attention_dim % o.heads == 0,
                    "model.heads: {} does not divide model.attention_dim, {}; every head of 'autoint' has "
                    "attention_dim / heads numbers",
                    o.heads, o.attention_dim);
    fields_ = register_module("fields", interplay::FieldEmbedding(schema, o));
    INTERPLAY_CHECK(fields_->count() > 0, "the model has no field to read; check fields.keep and fields.drop");
    for (int64_t l = 0; l < o.attention_layers; ++l) {
      const auto in = l == 0 ? o.embedding_dim : o.attention_dim;
      layers_.push_back(register_module(fmt::format("layer{}", l), InteractingLayer(in, o)));
    }
    output_ = register_module("output", nn::xavier_linear(fields_->count() * o.attention_dim, 1));
    if (o.wide) linear_ = register_module("linear", interplay::FieldLinear(schema, /*bias=*/false, o.init_std));
    if (!o.hidden.empty()) {
      mlp_ = register_module("mlp",
                             nn::Mlp(fields_->flat_width(), nn::MlpOptions{o.hidden, o.dropout, o.norm, o.activation}));
    }
  }

  interplay::Output forward(const interplay::Features& x) override {
    const auto e = fields_(x);  // [B, F, K]
    at::Tensor y = e;
    for (auto& layer : layers_) y = layer(y);                                // [B, F, D]
    auto logit = nn::row_dot(y.flatten(1), output_->weight, output_->bias);  // [B]
    if (linear_) logit = logit + linear_(x);
    if (mlp_) logit = logit + mlp_(e.flat()).squeeze(1);
    return logit;
  }

  at::Tensor represent(const interplay::Features& x) override {  // [B, F D + 1]
    const auto e = fields_(x);
    at::Tensor y = e, rest = at::zeros({x.rows}, y.options());
    for (auto& layer : layers_) y = layer(y);
    if (linear_) rest = rest + linear_(x);
    if (mlp_) rest = rest + mlp_(e.flat()).squeeze(1);
    return interplay::with_rest(y.flatten(1), rest);
  }
  at::Tensor output(const at::Tensor& hidden) override {  // [B]
    const auto [attended, rest] = interplay::without_rest(hidden);
    return nn::row_dot(attended, output_->weight, output_->bias) + rest;
  }
  int64_t representation_width() const override { return output_->weight.size(1) + 1; }

 private:
  interplay::FieldEmbedding fields_{nullptr};
  std::vector<InteractingLayer> layers_;
  torch::nn::Linear output_{nullptr};
  interplay::FieldLinear linear_{nullptr};
  nn::Mlp mlp_{nullptr};
};

INTERPLAY_REGISTER_MODEL("autoint", AutoInt, "multi-head self-attention among the fields (AutoInt, AutoInt+)");

}  // namespace
