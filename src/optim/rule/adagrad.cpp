#include <cmath>

#include <ATen/ATen.h>

#include <interplay/optim/row_rule.h>

namespace interplay {
namespace {

struct AdagradOptions {
  double initial = 0, eps = 1e-10;
  void visit(auto&& field) {
    field("initial", initial, "start of the accumulator", Range{0, 1e9});
    field("eps", eps, "added to the root of the accumulator", Range{kLeastEps, 1});
  }
};

struct AdagradConstants {
  float lr, eps;
};

/// Adagrad (Duchi et al. 2011) as torch.optim.Adagrad: a += g^2, w -= lr g / (sqrt(a) + eps).
class Adagrad final : public RowRule<Adagrad> {
 public:
  using Options = AdagradOptions;
  explicit Adagrad(const Options& options) : options_(options) {}

  int64_t state_width(int64_t width) const override { return width; }
  void start(const at::Tensor&, at::Tensor state) const override { state.fill_(options_.initial); }
  AdagradConstants constants(const StepInfo& step) const { return {float(step.lr), float(options_.eps)}; }

  INTERPLAY_INLINE void row(float* __restrict w, const float* __restrict g, float* __restrict s, int64_t width,
                            const AdagradConstants& c) const {
    for (int64_t k = 0; k < width; ++k) {
      s[k] += g[k] * g[k];
      w[k] -= c.lr * g[k] / (std::sqrt(s[k]) + c.eps);
    }
  }

  using RowRule::update;
  void update(at::Tensor w, const at::Tensor& g, at::Tensor s, const StepInfo& step) const override {
    s.addcmul_(g, g);
    w.addcdiv_(g, s.sqrt().add_(options_.eps), -step.lr);
  }

 private:
  Options options_;
};

/// Adagrad with one accumulator a row, the mean of the squared gradient over the row: a += mean(g^2) (the row-wise
/// Adagrad of DLRM's embedding kernels). A row costs 4 bytes of state.
class RowwiseAdagrad final : public RowRule<RowwiseAdagrad> {
 public:
  using Options = AdagradOptions;
  explicit RowwiseAdagrad(const Options& options) : options_(options) {}

  int64_t state_width(int64_t) const override { return 1; }
  void start(const at::Tensor&, at::Tensor state) const override { state.fill_(options_.initial); }
  AdagradConstants constants(const StepInfo& step) const { return {float(step.lr), float(options_.eps)}; }

  INTERPLAY_INLINE void row(float* __restrict w, const float* __restrict g, float* __restrict s, int64_t width,
                            const AdagradConstants& c) const {
    const int64_t whole = width / simd::kLanes * simd::kLanes;
    float square = 0;
    if (whole > 0) {
      simd::Floats squares{};
      for (int64_t k = 0; k < whole; k += simd::kLanes) squares += simd::load(g + k) * simd::load(g + k);
      square = simd::sum(squares);
    }
    for (int64_t k = whole; k < width; ++k) square += g[k] * g[k];
    s[0] += square / float(width);
    const float scale = c.lr / (std::sqrt(s[0]) + c.eps);
    for (int64_t k = 0; k < whole; k += simd::kLanes) simd::store(w + k, simd::load(w + k) - scale * simd::load(g + k));
    for (int64_t k = whole; k < width; ++k) w[k] -= scale * g[k];
  }

  using RowRule::update;
  void update(at::Tensor w, const at::Tensor& g, at::Tensor s, const StepInfo& step) const override {
    s.add_((g * g).mean(1, true));
    w.sub_(g / s.sqrt().add(options_.eps), step.lr);
  }

 private:
  Options options_;
};

INTERPLAY_REGISTER(update_rules(), "adagrad", Adagrad, "Adagrad, an accumulator a weight");
INTERPLAY_REGISTER(update_rules(), "rowwise_adagrad", RowwiseAdagrad, "Adagrad, one accumulator an embedding row");

}  // namespace
}  // namespace interplay
