#include <interplay/optim/grda.h>

#include <cmath>

#include <ATen/ATen.h>

#include <interplay/optim/row_rule.h>

namespace interplay {
namespace {

/// Generalized regularized dual averaging (Chao and Cheng 2019; as AutoFIS uses it, arXiv:2003.11235, eq. 13), which
/// makes exact zeros:
///
///     A <- A + c lr^(1/2 + mu) ((t + 1)^mu - t^mu)
///     v <- v - lr g, from the weight that the first step finds
///     w <- sign(v) max(|v| - A, 0)
///
/// lr is that of the present step, so that A also fits rates that fall. A weight at zero keeps receiving gradients and
/// may come back. t counts the row's own steps; a dense vector is one row.
class Grda final : public RowRule<Grda> {
 public:
  struct Options {
    double c = 5e-4, mu = 0.8;
    void visit(auto&& field) {
      field("c", c, "scale of the threshold: larger makes more zeros", Range{0, 1e9});
      field("mu", mu, "growth of the threshold, with the power mu of the steps", Range{0, 1});
    }
  };
  struct Constants {
    float lr;
    double scale, mu;
  };
  explicit Grda(const Options& options) : options_(options) {}

  /// v [K]; A as a large part and what that leaves, since thousands of small terms add up in it; t.
  int64_t state_width(int64_t width) const override { return width + 3; }

  Constants constants(const StepInfo& step) const {
    return {float(step.lr), options_.c * std::pow(step.lr, 0.5 + options_.mu), options_.mu};
  }

  INTERPLAY_INLINE void row(float* __restrict w, const float* __restrict g, float* __restrict s, int64_t width,
                            const Constants& c) const {
    const float threshold = raise(s + width, c);
    const float keep = s[width + 2] == 1 ? 1 : 0;  // the first step
    for (int64_t k = 0; k < width; ++k) {
      s[k] += keep * w[k] - c.lr * g[k];
      const float over = std::fabs(s[k]) - threshold;
      w[k] = over > 0 ? std::copysign(over, s[k]) : 0;
    }
  }

  using RowRule::update;
  void update(at::Tensor w, const at::Tensor& g, at::Tensor s, const StepInfo& step) const override {
    const Constants c = constants(step);
    const int64_t width = w.size(1);
    auto v = s.narrow(1, 0, width), tail = s.narrow(1, width, 3).cpu();  // a few numbers a row
    tail = tail.contiguous();
    for (int64_t r = 0; r < tail.size(0); ++r) raise(tail.mutable_data_ptr<float>() + 3 * r, c);
    s.narrow(1, width, 3).copy_(tail);
    v.add_(w * (s.narrow(1, width + 2, 1) == 1)).sub_(g, c.lr);
    w.copy_(v.sign() * (v.abs() - s.narrow(1, width, 1)).clamp_min(0));
  }

 private:
  /// One more step: A and t behind v. Returns A.
  static float raise(float* tail, const Constants& c) {
    const double t = tail[2];
    const double threshold = double(tail[0]) + double(tail[1]) + c.scale * (std::pow(t + 1, c.mu) - std::pow(t, c.mu));
    tail[0] = float(threshold);
    tail[1] = float(threshold - double(tail[0]));
    tail[2] = float(t + 1);
    return tail[0];
  }
  Options options_;
};

INTERPLAY_REGISTER(update_rules(), "grda", Grda, "generalized regularized dual averaging, with exact zeros; for gates");

}  // namespace

GrdaState grda_state(const at::Tensor& state, int64_t row) {
  const auto own = state[row].cpu();
  const int64_t width = own.size(0) - 3;
  return {own.narrow(0, 0, width), own[width].item<double>() + own[width + 1].item<double>(),
          int64_t(own[width + 2].item<double>())};
}

}  // namespace interplay
