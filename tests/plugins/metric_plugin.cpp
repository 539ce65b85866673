#include <cmath>

#include <interplay/core/metric.h>

namespace {

class Brier final : public interplay::Metric {
 public:
  using Options = interplay::NoOptions;
  explicit Brier(const Options&) {}
  double compute(const interplay::Predictions& rows) const override {
    double sum = 0, weight = 0;
    for (size_t i = 0; i < rows.logit.size(); ++i) {
      const double gap = 1 / (1 + std::exp(-double(rows.logit[i]))) - rows.label[i];
      sum += rows.weight_of(i) * gap * gap;
      weight += rows.weight_of(i);
    }
    return sum / weight;
  }
  bool higher_is_better() const override { return false; }
  std::string display() const override { return "Brier"; }
};

INTERPLAY_REGISTER(interplay::metrics(), "test_brier", Brier, "mean squared error of the probability");

}  // namespace
