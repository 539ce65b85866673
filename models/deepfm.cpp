// DeepFM (Guo et al. 2017, arXiv:1703.04247): one embedding read by a linear term, an FM and an MLP.
#include <interplay/model.h>

namespace {

class DeepFm final : public interplay::Model, public interplay::Represents {
 public:
  struct Options : interplay::EmbeddingOptions {
    interplay::nn::MlpOptions mlp;
    interplay::InteractionOptions interactions;
    void visit(auto&& field) {
      EmbeddingOptions::visit(field);
      mlp.visit(field);
      interactions.visit(field);
    }
  };

  DeepFm(const interplay::Schema& schema, const Options& o)
      : linear_(register_module("linear", interplay::FieldLinear(schema))),
        fields_(register_module("fields", interplay::FieldEmbedding(schema, o))),
        interactions_(
            register_module("interactions", interplay::FieldInteractions(schema, fields_, o.interactions, o.init_std))),
        mlp_(register_module("mlp", interplay::nn::Mlp(fields_->flat_width(), o.mlp))) {}

  interplay::Output forward(const interplay::Features& x) override {
    const auto e = fields_(x);                            // [B, F, K]
    const auto deep = mlp_(e.flat()).squeeze(1);          // [B]
    return linear_(x) + interactions_->sum(x, e) + deep;  // [B]
  }

  at::Tensor represent(const interplay::Features& x) override {  // [B, H + 1]
    const auto e = fields_(x);
    return interplay::with_rest(mlp_->hidden(e.flat()), linear_(x) + interactions_->sum(x, e));
  }
  at::Tensor output(const at::Tensor& hidden) override {  // [B]
    const auto [deep, rest] = interplay::without_rest(hidden);
    return rest + mlp_->output(deep).squeeze(1);
  }
  int64_t representation_width() const override { return mlp_->hidden_width() + 1; }

 private:
  interplay::FieldLinear linear_;
  interplay::FieldEmbedding fields_;
  interplay::FieldInteractions interactions_;
  interplay::nn::Mlp mlp_;
};

INTERPLAY_REGISTER_SEARCHABLE_MODEL("deepfm", DeepFm, "linear term + FM + MLP over one shared embedding");

}  // namespace
