// Metrics of the probability itself: how far it is from what happened.
#include "core/metric/probability.h"

#include <interplay/core/metric.h>
#include <interplay/core/reliability.h>

namespace interplay {

namespace {

// Weighted mean of f(logit, label) over all rows; NaN where there are none.
template <class F>
double mean(const Predictions& p, F f) {
  double sum = 0, weight = 0;
  for (size_t i = 0; i < p.logit.size(); ++i) {
    const double w = p.weight_of(i);
    sum += w * f(double(p.logit[i]), double(p.label[i]));
    weight += w;
  }
  return sum / weight;
}

double base_rate(const Predictions& p) {
  return mean(p, [](double, double y) { return y; });
}

class LogLoss final : public Metric {
 public:
  using Options = NoOptions;
  explicit LogLoss(const Options&) {}
  double compute(const Predictions& p) const override { return mean(p, cross_entropy); }
  bool higher_is_better() const override { return false; }
  std::string display() const override { return "logloss"; }
};

class NormalizedEntropy final : public Metric {
 public:
  using Options = NoOptions;
  explicit NormalizedEntropy(const Options&) {}
  double compute(const Predictions& p) const override {
    const double r = base_rate(p);
    if (!(r > 0 && r < 1)) return kUndefined;
    return mean(p, cross_entropy) / -(r * std::log(r) + (1 - r) * std::log1p(-r));
  }
  bool higher_is_better() const override { return false; }
  std::string display() const override { return "NE"; }
};

class Calibration final : public Metric {
 public:
  using Options = NoOptions;
  explicit Calibration(const Options&) {}
  double compute(const Predictions& p) const override {
    const double r = base_rate(p);
    return r > 0 ? mean(p, [](double z, double) { return sigmoid(z); }) / r : kUndefined;
  }
  bool higher_is_better() const override { return false; }
  double merit(double value) const override { return -std::abs(std::log(value)); }  // best at 1, from either side
  std::string display() const override { return "calibration"; }
  std::string why_undefined(const Predictions& p) const override {
    return p.rows() == 0 ? Metric::why_undefined(p) : "there are no positives";
  }
};

class Rmse final : public Metric {
 public:
  using Options = NoOptions;
  explicit Rmse(const Options&) {}
  double compute(const Predictions& p) const override {
    return std::sqrt(mean(p, [](double z, double y) { return (sigmoid(z) - y) * (sigmoid(z) - y); }));
  }
  bool higher_is_better() const override { return false; }
  std::string display() const override { return "RMSE"; }
};

class Accuracy final : public Metric {
 public:
  using Options = NoOptions;
  explicit Accuracy(const Options&) {}
  double compute(const Predictions& p) const override {
    return mean(p, [](double z, double y) { return (z >= 0) == (y >= 0.5) ? 1.0 : 0.0; });
  }
  bool higher_is_better() const override { return true; }
  std::string display() const override { return "accuracy"; }
};

class Ece final : public Metric {
 public:
  struct Options {
    int64_t bins = 20;
    void visit(auto&& field) { field("bins", bins, "bins of equal numbers of rows", Range{1, 10000}); }
  };
  explicit Ece(const Options& options) : options_(options) {}
  double compute(const Predictions& p) const override { return mean_gap(calibration_bins(p, options_.bins)); }
  bool higher_is_better() const override { return false; }
  std::string display() const override { return "ECE"; }

 private:
  Options options_;
};

INTERPLAY_REGISTER(metrics(), "logloss", LogLoss, "mean cross entropy, from the logit, nothing clipped");
INTERPLAY_REGISTER(metrics(), "ne", NormalizedEntropy, "logloss over the entropy of the rows' own base rate");
INTERPLAY_REGISTER(metrics(), "calibration", Calibration, "sum of p over sum of labels; 1 is best");
INTERPLAY_REGISTER(metrics(), "rmse", Rmse, "root mean squared error of p");
INTERPLAY_REGISTER(metrics(), "accuracy", Accuracy, "share of rows on the right side of p = 0.5");
INTERPLAY_REGISTER(metrics(), "ece", Ece, "mean gap of p and observed rate over bins of equal numbers of rows");

}  // namespace
}  // namespace interplay
