// Logistic regression: one weight for every value of every field, and a bias.
#include <interplay/model.h>

namespace {

class Lr final : public interplay::Model {
 public:
  struct Options {
    double init_std = 1e-4;
    void visit(auto&& field) {
      field("init_std", init_std, "weights start from N(0, init_std^2)", interplay::Range{0, 100});
    }
  };

  Lr(const interplay::Schema& schema, const Options& o)
      : linear_(register_module("linear", interplay::FieldLinear(schema, true, o.init_std))) {}

  interplay::Output forward(const interplay::Features& x) override { return linear_(x); }

 private:
  interplay::FieldLinear linear_;
};

INTERPLAY_REGISTER_MODEL("lr", Lr, "logistic regression");

}  // namespace
