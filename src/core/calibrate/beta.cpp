#include <algorithm>
#include <cmath>
#include <optional>

#include <interplay/core/logistic_fit.h>

#include "core/calibrate/fitted.h"

namespace interplay {
namespace {

double log_p(double z) { return std::min(z, 0.0) - std::log1p(std::exp(-std::abs(z))); }  // ln sigmoid(z)

/// Kull, Silva Filho and Flach 2017, "Beta calibration", equation 2: right where the scores of both classes follow beta
/// distributions; the identity is one of these maps (a = b = 1, c = 0), and each end bends by itself.
class Beta final : public Calibrator {
 public:
  struct Options {
    double a = 1, b = 1, c = 0;
    void visit(auto&& field) {
      field("a", a, "what ln p is multiplied by", Range{0, 1e9});
      field("b", b, "what -ln(1 - p) is multiplied by", Range{0, 1e9});
      field("c", c, "what is added to both", Range{-1e9, 1e9});
    }
  };
  explicit Beta(const Options& options) : options_(options) {}

  double logit(double z) const override { return options_.c + options_.a * log_p(z) - options_.b * log_p(-z); }
  Config parameters() const override { return write_options(options_); }

  /// The loss is convex: where the least one has an a or b below 0, the least one allowed has one of them, or both, 0.
  std::shared_ptr<const Calibrator> fit(const CalibrationRows& rows) const override {
    check_both_classes(rows);
    std::vector<double> of_a, of_b;
    for (const double z : rows.logit) of_a.push_back(log_p(z)), of_b.push_back(-log_p(-z));
    std::optional<Options> best;
    double least = 0;
    for (const auto& [with_a, with_b] : {std::pair(true, true), {true, false}, {false, true}, {false, false}}) {
      LogisticRows columns{{}, rows.label, rows.weight};
      if (with_a) columns.columns.emplace_back(of_a);
      if (with_b) columns.columns.emplace_back(of_b);
      const auto found = fit_logistic(columns);
      if (std::any_of(found.slopes.begin(), found.slopes.end(), [](double s) { return s < 0; })) continue;
      if (!best || found.loss < least) {
        best = Options{with_a ? found.slopes.front() : 0, with_b ? found.slopes.back() : 0, found.shift};
        least = found.loss;
      }
      if (with_a && with_b) break;
    }
    return std::make_shared<Beta>(*best);
  }

 private:
  Options options_;
};

INTERPLAY_REGISTER(calibrators(), "beta", Beta, "c + a ln p - b ln(1 - p), a and b >= 0");

}  // namespace
}  // namespace interplay
