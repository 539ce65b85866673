#include <cmath>

#include <ATen/ATen.h>

#include <interplay/optim/row_rule.h>

namespace interplay {
namespace {

/// FTRL-proximal (McMahan et al. 2013, algorithm 1), lr being its alpha: per weight z += g - (sqrt(n + g^2) - sqrt(n))
/// w / lr, n += g^2, then w = 0 if |z| <= lambda1, else -(z - sign(z) lambda1) / ((beta + sqrt(n)) / lr + lambda2). z
/// starts so that the first weights are what the model drew. Where lr differs from that of the row's step before, z
/// starts likewise from the weight there is (at 0, z stays): the rate scales steps, not weights. At a rate of 0 a row
/// rests.
class Ftrl final : public RowRule<Ftrl> {
 public:
  struct Options {
    double beta = 1, lambda1 = 0, lambda2 = 0;
    void visit(auto&& field) {
      field("beta", beta, "smooths the first rates", Range{0, 1e9});
      field("lambda1", lambda1, "proximal L1: makes exact zeros", Range{0, 1e9});
      field("lambda2", lambda2, "proximal L2", Range{0, 1e9});
    }
  };
  struct Constants {
    float inverse_lr, beta, lambda1, lambda2;
  };
  explicit Ftrl(const Options& options) : options_(options) {}

  int64_t state_width(int64_t width) const override {
    return 2 * width + 1;
  }  // z, n, and 1 / lr of the last step; 0: none yet

  Constants constants(const StepInfo& step) const {
    return {float(1 / step.lr), float(options_.beta), float(options_.lambda1), float(options_.lambda2)};
  }

  INTERPLAY_INLINE void row(float* __restrict w, const float* __restrict g, float* __restrict s, int64_t width,
                            const Constants& c) const {
    float* const z = s;
    float* const n = s + width;
    if (!std::isfinite(c.inverse_lr)) return;
    const float before = s[2 * width];
    const bool begun = before != 0, moved = begun && before != c.inverse_lr;
    s[2 * width] = c.inverse_lr;
    for (int64_t k = 0; k < width; ++k) {
      if (!begun) z[k] = z_of(w[k], 0, c);
      if (moved && w[k] != 0) z[k] = z_of(w[k], std::sqrt(n[k]), c);
      const float grown = n[k] + g[k] * g[k];
      z[k] += g[k] - (std::sqrt(grown) - std::sqrt(n[k])) * c.inverse_lr * w[k];
      n[k] = grown;
      const float over = std::fabs(z[k]) - c.lambda1;
      w[k] = over <= 0 ? 0 : -std::copysign(over, z[k]) / ((c.beta + std::sqrt(grown)) * c.inverse_lr + c.lambda2);
    }
  }

  using RowRule::update;
  void update(at::Tensor w, const at::Tensor& g, at::Tensor s, const StepInfo& step) const override {
    const Constants c = constants(step);
    if (!std::isfinite(c.inverse_lr)) return;
    const int64_t width = w.size(1);
    auto z = s.narrow(1, 0, width), n = s.narrow(1, width, width), before = s.narrow(1, 2 * width, 1);
    const auto fresh = -w * (c.beta * c.inverse_lr + c.lambda2) - w.sign() * c.lambda1;
    const auto fitted = -w * ((n.sqrt() + c.beta) * c.inverse_lr + c.lambda2) - w.sign() * c.lambda1;
    z.copy_(at::where(before == 0, fresh, at::where((before != c.inverse_lr).logical_and(w != 0), fitted, z)));
    before.fill_(c.inverse_lr);
    const auto grown = n + g * g;
    z.add_(g - (grown.sqrt() - n.sqrt()) * c.inverse_lr * w);
    n.copy_(grown);
    const auto over = (z.abs() - c.lambda1).clamp_min(0);
    w.copy_(-z.sign() * over / ((c.beta + grown.sqrt()) * c.inverse_lr + c.lambda2));
  }

 private:
  /// The z whose weight is w, where w is not 0.
  static float z_of(float w, float root_n, const Constants& c) {
    const float sign = float((w > 0) - (w < 0));
    return -w * ((c.beta + root_n) * c.inverse_lr + c.lambda2) - sign * c.lambda1;
  }
  Options options_;
};

INTERPLAY_REGISTER(update_rules(), "ftrl", Ftrl, "FTRL-proximal, with exact zeros by lambda1");

}  // namespace
}  // namespace interplay
