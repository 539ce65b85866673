// IPNN (Qu et al. 2016, PNN, arXiv:1611.00144): an MLP over the field vectors and the inner products of their pairs.
#include <interplay/model.h>

namespace {

class Ipnn final : public interplay::Model {
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

  Ipnn(const interplay::Schema& schema, const Options& o)
      : fields_(register_module("fields", interplay::FieldEmbedding(schema, o))),
        interactions_(
            register_module("interactions", interplay::FieldInteractions(schema, fields_, o.interactions, o.init_std))),
        mlp_(register_module("mlp", interplay::nn::Mlp(fields_->flat_width() + interactions_->count(), o.mlp))) {}

  interplay::Output forward(const interplay::Features& x) override {
    const auto e = fields_(x);                                                  // [B, F, K]
    return mlp_(at::cat({e.flat(), interactions_->each(x, e)}, 1)).squeeze(1);  // [B, F K + P] -> [B]
  }

 private:
  interplay::FieldEmbedding fields_;
  interplay::FieldInteractions interactions_;
  interplay::nn::Mlp mlp_;
};

INTERPLAY_REGISTER_SEARCHABLE_MODEL("ipnn", Ipnn,
                                    "MLP over field vectors and their inner products (product-based network)");

}  // namespace
