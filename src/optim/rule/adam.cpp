#include <cmath>

#include <ATen/ATen.h>

#include <interplay/optim/row_rule.h>

namespace interplay {
namespace {

/// Adam (Kingma and Ba 2015). Dense: as torch.optim.Adam, eps added after the bias correction of the second moment.
/// Lazy: as torch.optim.SparseAdam, moments of absent rows rest, the bias correction counts every step, and eps is
/// added before it. `decay` > 0 shrinks weights apart from the gradient (AdamW, Loshchilov and Hutter 2019).
class Adam final : public RowRule<Adam> {
 public:
  static constexpr bool kElementwise = true;
  struct Options {
    double beta1 = 0.9, beta2 = 0.999, eps = 1e-8, decay = 0;
    void visit(auto&& field) {
      field("beta1", beta1, "memory of the first moment", Range{0, kBelowOne});
      field("beta2", beta2, "memory of the second moment", Range{0, kBelowOne});
      field("eps", eps, "added to the root of the second moment", Range{kLeastEps, 1});
      field("decay", decay, "decoupled weight decay, as in AdamW", Range{0, 1e9});
    }
  };
  struct Constants {
    float beta2, new1, new2;  // new = 1 - beta, rounded once: 1 - 0.999f is off by 1e-5 of itself
    float step_size, root_scale, eps, keep;
  };
  explicit Adam(const Options& options) : options_(options) {}

  int64_t state_width(int64_t width) const override { return 2 * width; }

  Constants constants(const StepInfo& step) const {
    const double correction1 = 1 - std::pow(options_.beta1, double(step.step));
    const double root2 = std::sqrt(1 - std::pow(options_.beta2, double(step.step)));
    const double size = step.lr / correction1;
    const float keep = float(1 - step.lr * options_.decay);
    // dense: size m / (sqrt(v) / root2 + eps); lazy: size root2 m / (sqrt(v) + eps)
    return {float(options_.beta2),
            float(1 - options_.beta1),
            float(1 - options_.beta2),
            float(step.lazy ? size * root2 : size),
            float(step.lazy ? 1 : 1 / root2),
            float(options_.eps),
            keep};
  }

  INTERPLAY_INLINE void row(float* __restrict w, const float* __restrict g, float* __restrict s, int64_t width,
                            const Constants& c) const {
    float* __restrict const m = s;
    float* __restrict const v = s + width;
    for (int64_t k = 0; k < width; ++k) {
      m[k] += c.new1 * (g[k] - m[k]);
      v[k] = c.beta2 * v[k] + c.new2 * g[k] * g[k];
      w[k] = c.keep * w[k] - c.step_size * m[k] / (std::sqrt(v[k]) * c.root_scale + c.eps);
    }
  }

  using RowRule::update;
  void update(at::Tensor w, const at::Tensor& g, at::Tensor s, const StepInfo& step) const override {
    const Constants c = constants(step);
    auto m = s.narrow(1, 0, w.size(1)), v = s.narrow(1, w.size(1), w.size(1));
    m.lerp_(g, 1 - options_.beta1);
    v.mul_(options_.beta2).addcmul_(g, g, 1 - options_.beta2);
    w.mul_(c.keep).addcdiv_(m, v.sqrt().mul_(c.root_scale).add_(options_.eps), -c.step_size);
  }

 private:
  Options options_;
};

INTERPLAY_REGISTER(update_rules(), "adam", Adam, "Adam; AdamW with decay > 0");

}  // namespace
}  // namespace interplay
