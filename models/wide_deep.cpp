// Wide & Deep (Cheng et al. 2016, arXiv:1606.07792): a linear term beside an MLP over the embeddings.
#include <interplay/model.h>

namespace {

class WideDeep final : public interplay::Model, public interplay::Represents {
 public:
  struct Options : interplay::EmbeddingOptions {
    interplay::nn::MlpOptions mlp;
    void visit(auto&& field) {
      EmbeddingOptions::visit(field);
      mlp.visit(field);
    }
  };

  WideDeep(const interplay::Schema& schema, const Options& o)
      : linear_(register_module("linear", interplay::FieldLinear(schema, false))),
        fields_(register_module("fields", interplay::FieldEmbedding(schema, o))),
        mlp_(register_module("mlp", interplay::nn::Mlp(fields_->flat_width(), o.mlp))) {}

  interplay::Output forward(const interplay::Features& x) override {
    return linear_(x) + mlp_(fields_(x).flat()).squeeze(1);  // [B]
  }

  at::Tensor represent(const interplay::Features& x) override {  // [B, H + 1]
    return interplay::with_rest(mlp_->hidden(fields_(x).flat()), linear_(x));
  }
  at::Tensor output(const at::Tensor& hidden) override {  // [B]
    const auto [deep, rest] = interplay::without_rest(hidden);
    return rest + mlp_->output(deep).squeeze(1);
  }
  int64_t representation_width() const override { return mlp_->hidden_width() + 1; }

 private:
  interplay::FieldLinear linear_;
  interplay::FieldEmbedding fields_;
  interplay::nn::Mlp mlp_;
};

INTERPLAY_REGISTER_MODEL("wide_deep", WideDeep, "linear term + MLP (Wide & Deep)");

}  // namespace
