// Maps of a slope and a shift, fitted by logistic regression.
#include <algorithm>

#include <interplay/core/logistic_fit.h>

#include "core/calibrate/fitted.h"

namespace interplay {
namespace {

constexpr double kLowest = 0.01, kHighest = 100;  // temperature

/// Platt 1999, "Probabilistic outputs for support vector machines", without its smoothing of the labels.
class Platt final : public Calibrator {
 public:
  struct Options {
    double slope = 1, shift = 0;
    void visit(auto&& field) {
      field("slope", slope, "what a logit is multiplied by", Range{0, 1e9});
      field("shift", shift, "what is added to it then", Range{-1e9, 1e9});
    }
  };
  explicit Platt(const Options& options) : options_(options) {}

  double logit(double z) const override { return options_.slope * z + options_.shift; }
  Config parameters() const override { return write_options(options_); }

  std::shared_ptr<const Calibrator> fit(const CalibrationRows& rows) const override {
    check_both_classes(rows);
    auto found = fit_logistic({{rows.logit}, rows.label, rows.weight});
    if (found.slopes[0] < 0) found = fit_logistic({{}, rows.label, rows.weight}), found.slopes = {0};
    return std::make_shared<Platt>(Options{found.slopes[0], found.shift});
  }

 private:
  Options options_;
};

/// Guo et al. 2017 (arXiv:1706.04599): one number, which says how much too sure the logits are.
class Temperature final : public Calibrator {
 public:
  struct Options {
    double temperature = 1;
    void visit(auto&& field) {
      field("temperature", temperature, "what a logit is divided by", Range{kLowest, kHighest});
    }
  };
  explicit Temperature(const Options& options) : options_(options) {}

  double logit(double z) const override { return z / options_.temperature; }
  Config parameters() const override { return write_options(options_); }

  std::shared_ptr<const Calibrator> fit(const CalibrationRows& rows) const override {
    check_both_classes(rows);
    const double slope = fit_logistic({{rows.logit}, rows.label, rows.weight}, /*with_shift=*/false).slopes[0];
    return std::make_shared<Temperature>(Options{1 / std::clamp(slope, 1 / kHighest, 1 / kLowest)});
  }

 private:
  Options options_;
};

INTERPLAY_REGISTER(calibrators(), "platt", Platt, "slope * z + shift, slope >= 0 (Platt scaling)");
INTERPLAY_REGISTER(calibrators(), "temperature", Temperature, "z / temperature");

}  // namespace
}  // namespace interplay
