#include <algorithm>
#include <cmath>
#include <numeric>

#include <interplay/core/logistic_fit.h>

#include "core/calibrate/fitted.h"
#include "core/calibrate/isotonic_blocks.h"

namespace interplay {
namespace {

IsotonicBlock pooled(const IsotonicBlock& a, const IsotonicBlock& b) {
  const double sum = a.weight + b.weight, share = a.weight / sum;
  return {b.logit + share * (a.logit - b.logit), b.p + share * (a.p - b.p), sum};
}

}  // namespace

std::vector<IsotonicBlock> isotonic_blocks(const CalibrationRows& rows) {
  std::vector<size_t> order(rows.logit.size());
  std::iota(order.begin(), order.end(), size_t(0));
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return rows.logit[a] < rows.logit[b]; });
  std::vector<IsotonicBlock> blocks;
  for (size_t i = 0; i < order.size();) {
    IsotonicBlock block;
    const double z = rows.logit[order[i]];
    for (; i < order.size() && rows.logit[order[i]] == z; ++i) {
      const double w = rows.weight[order[i]], sum = block.weight + w;
      block.p += (rows.label[order[i]] - block.p) * w / sum;
      block.weight = sum;
    }
    block.logit = z;
    for (; !blocks.empty() && blocks.back().p >= block.p; blocks.pop_back()) block = pooled(blocks.back(), block);
    blocks.push_back(block);
  }
  return blocks;
}

std::vector<IsotonicBlock> less_steep(const std::vector<IsotonicBlock>& blocks, double steepest) {
  std::vector<IsotonicBlock> out;
  for (IsotonicBlock block : blocks) {
    for (; !out.empty() && block.p - out.back().p > steepest * (block.logit - out.back().logit); out.pop_back())
      block = pooled(out.back(), block);
    out.push_back(block);
  }
  return out;
}

namespace {

/// Zadrozny and Elkan 2002, fitted by pooling adjacent violators. The step function is drawn as a line through the
/// blocks' means (Jiang et al. 2011, "Smooth isotonic regression"): rows keep their order between the outer ones, and
/// what two kinds of arithmetic say of a row does not fall on two sides of a step. Beyond them it is level. A few rows
/// that happen to lie close make no cliff either: the line is nowhere steeper than four times what Platt's map of the
/// same rows is where it is steepest, or than 1 where that is more.
class Isotonic final : public Calibrator {
 public:
  struct Options {
    std::vector<double> logit = {0}, p = {0.5};
    void visit(auto&& field) {
      field("logit", logit, "knots, rising");
      field("p", p, "probability at each knot, never falling", Range{0, 1});
    }
    void check(const Config& config) const {
      if (logit.empty() || logit.size() != p.size())
        config["p"].fail(fmt::format("{} probabilities for {} knots; expected one a knot", p.size(), logit.size()));
      for (size_t i = 0; i < p.size(); ++i) {
        if (!std::isfinite(logit[i]) || (i > 0 && !(logit[i] > logit[i - 1])))
          config["logit"].fail(fmt::format("knot {} is {}; expected finite numbers that rise", i + 1, logit[i]));
        if (!(p[i] > 0 && p[i] < 1) || (i > 0 && p[i] < p[i - 1]))
          config["p"].fail(
              fmt::format("probability {} is {}; expected numbers between 0 and 1 that never fall", i + 1, p[i]));
      }
    }
  };
  explicit Isotonic(const Options& options) : options_(options) {}

  double logit(double z) const override {
    const auto& knots = options_.logit;
    const auto above = size_t(std::upper_bound(knots.begin(), knots.end(), z) - knots.begin());
    if (above == 0) return to_logit(options_.p.front());
    if (above == knots.size()) return to_logit(options_.p.back());
    const double share = (z - knots[above - 1]) / (knots[above] - knots[above - 1]);
    return to_logit(options_.p[above - 1] + share * (options_.p[above] - options_.p[above - 1]));
  }
  Config parameters() const override { return write_options(options_); }

  std::shared_ptr<const Calibrator> fit(const CalibrationRows& rows) const override {
    check_both_classes(rows);
    const double total = std::accumulate(rows.weight.begin(), rows.weight.end(), 0.0);
    const double surest = 1 / (total + 2);  // Laplace's rule of succession, after as many rows without a click
    const double steepest = std::max(1.0, fit_logistic({{rows.logit}, rows.label, rows.weight}).slopes[0]);
    Options found{{}, {}};
    for (const auto& block : less_steep(isotonic_blocks(rows), steepest)) {
      found.logit.push_back(block.logit);
      found.p.push_back(std::clamp(block.p, surest, 1 - surest));
    }
    return std::make_shared<Isotonic>(found);
  }

 private:
  static double to_logit(double p) { return std::log(p) - std::log1p(-p); }
  Options options_;
};

INTERPLAY_REGISTER(calibrators(), "isotonic", Isotonic, "a line through the means of pooled rows, which never falls");

}  // namespace
}  // namespace interplay
