// DNN: an MLP over the embeddings, and nothing else (the YoutubeDNN of the benchmarks).
#include <interplay/model.h>

namespace {

class Dnn final : public interplay::Model, public interplay::Represents {
 public:
  struct Options : interplay::EmbeddingOptions {
    interplay::nn::MlpOptions mlp;
    void visit(auto&& field) {
      EmbeddingOptions::visit(field);
      mlp.visit(field);
    }
  };

  Dnn(const interplay::Schema& schema, const Options& o)
      : fields_(register_module("fields", interplay::FieldEmbedding(schema, o))),
        mlp_(register_module("mlp", interplay::nn::Mlp(fields_->flat_width(), o.mlp))) {}

  interplay::Output forward(const interplay::Features& x) override {
    return mlp_(fields_(x).flat()).squeeze(1);  // [B]
  }

  at::Tensor represent(const interplay::Features& x) override { return mlp_->hidden(fields_(x).flat()); }  // [B, H]
  at::Tensor output(const at::Tensor& hidden) override { return mlp_->output(hidden).squeeze(1); }         // [B]
  int64_t representation_width() const override { return mlp_->hidden_width(); }

 private:
  interplay::FieldEmbedding fields_;
  interplay::nn::Mlp mlp_;
};

INTERPLAY_REGISTER_MODEL("dnn", Dnn, "MLP over the embeddings");

}  // namespace
