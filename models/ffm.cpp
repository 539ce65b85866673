// FFM (Juan et al. 2016, doi:10.1145/2959100.2959134): linear term and, for each pair of fields, the inner product of
// the vectors that each keeps for the other.
#include <interplay/model.h>

namespace {

class Ffm final : public interplay::Model {
 public:
  struct Options {
    int64_t embedding_dim = 4;
    double init_mean = 0;
    double init_std = 0.01;
    void visit(auto&& field) {
      field("embedding_dim", embedding_dim, "width K of each of the F vectors of a value", interplay::Range{1, 4096});
      field("init_mean", init_mean, "embeddings start from N(init_mean, init_std^2)", interplay::Range{-100, 100});
      field("init_std", init_std, "embeddings start from N(init_mean, init_std^2)", interplay::Range{0, 100});
    }
  };

  Ffm(const interplay::Schema& schema, const Options& o)
      : linear_(register_module("linear", interplay::FieldLinear(schema))),
        fields_(register_module(
            "fields", interplay::FieldEmbedding(
                          schema, int64_t(interplay::vector_names(schema).size()) * o.embedding_dim, o.init_std))) {
    fields_->shift_start(o.init_mean);
  }

  interplay::Output forward(const interplay::Features& x) override {
    return linear_(x) + interplay::nn::ffm(fields_(x));  // [B]
  }

 private:
  interplay::FieldLinear linear_;
  interplay::FieldEmbedding fields_;  // rows [F, K]
};

INTERPLAY_REGISTER_MODEL("ffm", Ffm, "linear term + inner products of vectors kept for each other field");

}  // namespace
