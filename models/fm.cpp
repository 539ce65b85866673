// FM (Rendle 2010): linear term and the inner products of all pairs of fields, or of those that a search has kept.
#include <interplay/model.h>

namespace {

class Fm final : public interplay::Model {
 public:
  struct Options : interplay::EmbeddingOptions {
    interplay::InteractionOptions interactions;
    void visit(auto&& field) {
      EmbeddingOptions::visit(field);
      interactions.visit(field);
    }
  };

  Fm(const interplay::Schema& schema, const Options& o)
      : linear_(register_module("linear", interplay::FieldLinear(schema))),
        fields_(register_module("fields", interplay::FieldEmbedding(schema, o))),
        interactions_(register_module("interactions",
                                      interplay::FieldInteractions(schema, fields_, o.interactions, o.init_std))) {}

  interplay::Output forward(const interplay::Features& x) override {
    return linear_(x) + interactions_->sum(x, fields_(x));  // [B]
  }

 private:
  interplay::FieldLinear linear_;
  interplay::FieldEmbedding fields_;
  interplay::FieldInteractions interactions_;
};

INTERPLAY_REGISTER_SEARCHABLE_MODEL("fm", Fm, "linear term + pairwise inner products (factorisation machine)");

}  // namespace
