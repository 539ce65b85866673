#include <optional>

#include <ATen/ATen.h>

#include <interplay/core/loss.h>

namespace interplay {

namespace {

void check_shapes(const LossInput& in) {
  INTERPLAY_CHECK(in.logit.sizes() == in.label.sizes(), "loss: logits are {}, labels {}; expected the same shape",
                  fmt::join(in.logit.sizes(), "x"), fmt::join(in.label.sizes(), "x"));
}

// log(1 + exp(-z)) for positives, log(1 + exp(z)) for negatives, from the logit: finite for every finite z.
class CrossEntropy final : public Loss {
 public:
  struct Options {
    double pos_weight = 1.0;
    void visit(auto&& field) {
      field("pos_weight", pos_weight, "factor on the loss of positives; shifts the logits by its logarithm",
            Range{0, 1e9});
    }
  };
  explicit CrossEntropy(const Options& options) : options_(options) {}

  at::Tensor forward(const LossInput& in) const override {
    check_shapes(in);
    at::Tensor factor;  // [1], or undefined: 1
    if (options_.pos_weight != 1.0) factor = at::full({1}, options_.pos_weight, in.logit.options());
    return weighted_mean(at::binary_cross_entropy_with_logits(in.logit, in.label, {}, factor, at::Reduction::None),
                         in.weight);
  }

 private:
  Options options_;
};

// Of the probability, not of the logit: (sigmoid(z) - y)^2, the Brier score.
class SquaredError final : public Loss {
 public:
  using Options = NoOptions;
  explicit SquaredError(const Options&) {}
  at::Tensor forward(const LossInput& in) const override {
    check_shapes(in);
    return weighted_mean((in.logit.sigmoid() - in.label).square(), in.weight);
  }
};

// Lin et al. 2017 (arXiv:1708.02002), as torchvision's sigmoid_focal_loss: alpha_t (1 - p_t)^gamma CE.
class Focal final : public Loss {
 public:
  struct Options {
    double gamma = 2.0;
    std::optional<double> alpha = 0.25;
    void visit(auto&& field) {
      field("gamma", gamma, "how much well-classified rows are played down; 0 = cross entropy", Range{0, 100});
      field("alpha", alpha, "weight of positives, 1 - alpha of negatives; ~ = none", Range{0, 1});
    }
  };
  explicit Focal(const Options& options) : options_(options) {}

  at::Tensor forward(const LossInput& in) const override {
    check_shapes(in);
    auto each = at::binary_cross_entropy_with_logits(in.logit, in.label, {}, {}, at::Reduction::None);
    if (options_.gamma > 0) {
      const auto wrong = (1 - 2 * in.label) * in.logit;  // 1 - p_t = sigmoid(wrong)
      // In the logarithm, because the gradient of pow(1 - p_t, gamma) is not finite at p_t = 1 for gamma < 1.
      each = each * (options_.gamma * at::log_sigmoid(wrong)).exp();
    }
    if (options_.alpha) each = each * (*options_.alpha * in.label + (1 - *options_.alpha) * (1 - in.label));
    return weighted_mean(each, in.weight);
  }

 private:
  Options options_;
};

INTERPLAY_REGISTER(losses(), "bce", CrossEntropy, "binary cross entropy of the logit");
INTERPLAY_REGISTER(losses(), "mse", SquaredError, "squared error of the probability");
INTERPLAY_REGISTER(losses(), "focal", Focal, "cross entropy that plays down rows already well classified");

}  // namespace
}  // namespace interplay
