// FM (Rendle 2010): linear term and the inner products of all pairs of fields.
#include <interplay/model.h>

namespace {

class Fm final : public interplay::Model {
 public:
  struct Options {
    int64_t embedding_dim = 16;
    double init_std = 1e-4;
    void visit(auto&& field) {
      field("embedding_dim", embedding_dim, "embedding width K", interplay::Range{1, 4096});
      field("init_std", init_std, "embeddings start from N(0, init_std^2)", interplay::Range{0, 100});
    }
  };

  Fm(const interplay::Schema& schema, const Options& o)
      : linear_(register_module("linear", interplay::FieldLinear(schema))),
        fields_(register_module("fields", interplay::FieldEmbedding(schema, o.embedding_dim, o.init_std))) {}

  interplay::Output forward(const interplay::Features& x) override {
    return linear_(x) + interplay::nn::fm(fields_(x));  // [B]
  }

 private:
  interplay::FieldLinear linear_;
  interplay::FieldEmbedding fields_;
};

INTERPLAY_REGISTER_MODEL("fm", Fm, "linear term + pairwise inner products (factorisation machine)");

}  // namespace
