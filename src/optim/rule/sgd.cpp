#include <ATen/ATen.h>

#include <interplay/optim/row_rule.h>

namespace interplay {
namespace {

/// Stochastic gradient descent, with momentum as torch.optim.SGD: v = momentum v + g, w -= lr v.
class Sgd final : public RowRule<Sgd> {
 public:
  struct Options {
    double momentum = 0;
    void visit(auto&& field) { field("momentum", momentum, "share of the last step that is kept", Range{0, 1}); }
  };
  struct Constants {
    float lr, momentum;
  };
  explicit Sgd(const Options& options) : options_(options) {}

  int64_t state_width(int64_t width) const override { return options_.momentum > 0 ? width : 0; }
  Constants constants(const StepInfo& step) const { return {float(step.lr), float(options_.momentum)}; }

  INTERPLAY_INLINE void row(float* __restrict w, const float* __restrict g, float* __restrict s, int64_t width,
                            const Constants& c) const {
    for (int64_t k = 0; k < width; ++k) {
      float move = g[k];
      if (c.momentum > 0) move = s[k] = c.momentum * s[k] + g[k];
      w[k] -= c.lr * move;
    }
  }

  using RowRule::update;
  void update(at::Tensor w, const at::Tensor& g, at::Tensor s, const StepInfo& step) const override {
    if (options_.momentum > 0) {
      s.mul_(options_.momentum).add_(g);
      w.sub_(s, step.lr);
    } else {
      w.sub_(g, step.lr);
    }
  }

 private:
  Options options_;
};

INTERPLAY_REGISTER(update_rules(), "sgd", Sgd, "stochastic gradient descent, optionally with momentum");

}  // namespace
}  // namespace interplay
