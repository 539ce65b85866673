// Rules as an outside author writes them: Lion in three functions, and one that says how rows move and no more.
#include <interplay/optim/row_rule.h>

namespace {

/// Lion (Chen et al. 2023, arXiv:2302.06675): w -= lr (sign(beta1 m + (1 - beta1) g) + decay w), m = beta2 m +
/// (1 - beta2) g.
class Lion final : public interplay::RowRule<Lion> {
 public:
  struct Options {
    double beta1 = 0.9, beta2 = 0.99, decay = 0;
    void visit(auto&& field) {
      field("beta1", beta1, "share of the momentum in what moves", interplay::Range{0, 1});
      field("beta2", beta2, "memory of the momentum", interplay::Range{0, 1});
      field("decay", decay, "decoupled weight decay", interplay::Range{0, 1e9});
    }
  };
  struct Constants {
    float lr, keep, beta1, beta2;
  };
  explicit Lion(const Options& options) : options_(options) {}

  int64_t state_width(int64_t width) const override { return width; }
  Constants constants(const interplay::StepInfo& step) const {
    return {float(step.lr), float(1 - step.lr * options_.decay), float(options_.beta1), float(options_.beta2)};
  }
  INTERPLAY_INLINE void row(float* w, const float* g, float* m, int64_t width, const Constants& c) const {
    for (int64_t k = 0; k < width; ++k) {
      const float move = c.beta1 * m[k] + (1 - c.beta1) * g[k];
      w[k] = c.keep * w[k] - c.lr * float((move > 0) - (move < 0));
      m[k] = c.beta2 * m[k] + (1 - c.beta2) * g[k];
    }
  }

 private:
  Options options_;
};

INTERPLAY_REGISTER(interplay::update_rules(), "test_lion", Lion, "the sign of a momentum");

/// w -= lr g, by the least that a rule can say.
class Plain final : public interplay::UpdateRule {
 public:
  using Options = interplay::NoOptions;
  explicit Plain(const Options&) {}
  int64_t state_width(int64_t) const override { return 0; }
  using UpdateRule::update;
  void update(const Rows& rows, const interplay::StepInfo& step) const override {
    for (int64_t r = 0; r < rows.count; ++r) {
      float* const w = rows.w + (rows.index ? rows.index[r] : r) * rows.w_stride;
      for (int64_t k = 0; k < rows.width; ++k) w[k] -= float(step.lr) * rows.g[r * rows.width + k];
    }
  }
};

INTERPLAY_REGISTER(interplay::update_rules(), "test_plain", Plain, "gradient descent");

}  // namespace
