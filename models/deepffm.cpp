// DeepFFM: DeepFM (Guo et al. 2017) with a field-aware FM (Juan et al. 2016) in the place of the FM. The MLP reads an
// embedding of its own, as the field-aware one has F vectors a value; it is parameter group `deep`.
#include <interplay/model.h>

namespace {

class DeepFfm final : public interplay::Model {
 public:
  struct Options {
    int64_t embedding_dim = 4;
    double init_mean = 0;
    double init_std = 0.01;
    int64_t deep_dim = 16;
    double deep_init_std = 1e-4;
    interplay::nn::MlpOptions mlp;
    void visit(auto&& field) {
      field("embedding_dim", embedding_dim, "width K of each of the F vectors of a value", interplay::Range{1, 4096});
      field("init_mean", init_mean, "they start from N(init_mean, init_std^2)", interplay::Range{-100, 100});
      field("init_std", init_std, "they start from N(init_mean, init_std^2)", interplay::Range{0, 100});
      field("deep_dim", deep_dim, "width of the embedding that the MLP reads", interplay::Range{1, 4096});
      field("deep_init_std", deep_init_std, "it starts from N(0, deep_init_std^2)", interplay::Range{0, 100});
      mlp.visit(field);
    }
  };

  DeepFfm(const interplay::Schema& schema, const Options& o)
      : linear_(register_module("linear", interplay::FieldLinear(schema))),
        fields_(register_module(
            "fields", interplay::FieldEmbedding(
                          schema, int64_t(interplay::vector_names(schema).size()) * o.embedding_dim, o.init_std))),
        deep_(register_module(
            "deep", interplay::FieldEmbedding(schema, interplay::EmbeddingOptions{o.deep_dim, o.deep_init_std},
                                              interplay::FieldChoice{.group = "deep"}))),
        mlp_(register_module("mlp", interplay::nn::Mlp(deep_->flat_width(), o.mlp))) {
    fields_->shift_start(o.init_mean);
  }

  interplay::Output forward(const interplay::Features& x) override {
    const auto deep = mlp_(deep_(x).flat()).squeeze(1);         // [B]
    return linear_(x) + interplay::nn::ffm(fields_(x)) + deep;  // [B]
  }

 private:
  interplay::FieldLinear linear_;
  interplay::FieldEmbedding fields_;  // rows [F, K]
  interplay::FieldEmbedding deep_;
  interplay::nn::Mlp mlp_;
};

INTERPLAY_REGISTER_MODEL("deepffm", DeepFfm, "linear term + field-aware FM + MLP over an embedding of its own");

}  // namespace
