// A plugin: a model whose logit is one learned number.
#include <interplay/model.h>

namespace {

class Constant final : public interplay::Model {
 public:
  struct Options {
    double start = 0.5;
    void visit(auto&& field) { field("start", start, "first value of the logit"); }
  };

  Constant(const interplay::Schema&, const Options& o)
      : logit_(register_parameter("logit", torch::full({1}, o.start))) {}

  interplay::Output forward(const interplay::Features& x) override { return logit_.expand({x.rows}); }

 private:
  at::Tensor logit_;  // [1]
};

INTERPLAY_REGISTER_MODEL("outside", Constant, "one learned number");

}  // namespace
