#include <interplay/core/reliability.h>

#include <algorithm>
#include <numeric>

#include <ATen/Parallel.h>

#include <interplay/base/random.h>

#include "core/metric/probability.h"
#include "core/ranking.h"
#include "core/resample.h"

namespace interplay {

namespace {

CalibrationBin summarize(const Predictions& p, const Ranking& ranking, size_t first, size_t last) {
  CalibrationBin bin;
  bin.rows = int64_t(last - first);
  bin.low_p = sigmoid(p.logit[ranking.row(first)]);
  bin.high_p = sigmoid(p.logit[ranking.row(last - 1)]);
  for (size_t i = first; i < last; ++i) {
    const uint32_t row = ranking.row(i);
    const double w = p.weight_of(row);
    bin.weight += w;
    bin.mean_p += w * sigmoid(p.logit[row]);
    bin.observed += w * p.label[row];
  }
  if (bin.weight > 0) {
    bin.mean_p /= bin.weight;
    bin.observed /= bin.weight;
  }
  return bin;
}

/// For each bin the place in the ranking behind its last row.
std::vector<size_t> bin_ends(const Ranking& ranking, int64_t bins) {
  INTERPLAY_CHECK(bins >= 1, "calibration bins: {}; expected at least 1", bins);
  std::vector<size_t> ends;
  const size_t n = ranking.size();
  for (int64_t b = 1; b <= bins && (ends.empty() || ends.back() < n); ++b) {
    const size_t goal = n * size_t(b) / size_t(bins);
    if (goal > (ends.empty() ? 0 : ends.back())) ends.push_back(ranking.tie_end(goal - 1));
  }
  return ends;
}

/// Weight times p - label of each row, and its bin: what a replicate adds up.
class Gaps {
 public:
  Gaps(const Predictions& p, int64_t bins) {
    const Ranking ranking(p.logit);
    bin_.resize(ranking.size());
    size_t first = 0;
    for (const size_t end : bin_ends(ranking, bins)) {
      for (; first < end; ++first) bin_[ranking.row(first)] = uint32_t(bins_);
      ++bins_;
    }
    for (size_t i = 0; i < bin_.size(); ++i) {
      weight_.push_back(p.weight_of(i));
      gap_.push_back(weight_[i] * (sigmoid(p.logit[i]) - p.label[i]));
    }
  }

  double replicate(const Poisson& poisson, uint64_t seed, uint64_t number) const {
    std::vector<double> sums(bins_);
    double total = 0;
    for (size_t i = 0; i < bin_.size(); ++i) {
      const double count = poisson(random_bits(seed, number, i));
      sums[bin_[i]] += count * gap_[i];
      total += count * weight_[i];
    }
    return std::accumulate(sums.begin(), sums.end(), 0.0, [](double s, double gap) { return s + std::abs(gap); }) /
           total;
  }

 private:
  size_t bins_ = 0;
  std::vector<uint32_t> bin_;
  std::vector<double> gap_, weight_;
};

/// Sum over bins of E|sum w (y - p)| over the sum of weights, y drawn by p: of a normal number of that variance.
double gap_by_chance(const Predictions& p, int64_t bins) {
  const Ranking ranking(p.logit);
  double sum = 0, total = 0;
  size_t first = 0;
  for (const size_t end : bin_ends(ranking, bins)) {
    double variance = 0;
    for (; first < end; ++first) {
      const double w = p.weight_of(ranking.row(first)), q = sigmoid(p.logit[ranking.row(first)]);
      variance += w * w * q * (1 - q);
      total += w;
    }
    sum += std::sqrt(variance * 2 / M_PI);
  }
  return sum / total;
}

}  // namespace

std::vector<CalibrationBin> calibration_bins(const Predictions& predictions, int64_t bins) {
  const Ranking ranking(predictions.logit);
  std::vector<CalibrationBin> result;
  size_t first = 0;
  for (const size_t end : bin_ends(ranking, bins)) {
    result.push_back(summarize(predictions, ranking, first, end));
    first = end;
  }
  return result;
}

double mean_gap(const std::vector<CalibrationBin>& bins) {
  double gap = 0, weight = 0;
  for (const auto& bin : bins) {
    gap += bin.weight * std::abs(bin.mean_p - bin.observed);
    weight += bin.weight;
  }
  return gap / weight;
}

CalibrationError calibration_error(const Predictions& p, const CalibrationErrorOptions& options) {
  INTERPLAY_CHECK(options.replicates >= 2, "bootstrap: {} replicates; expected at least 2", options.replicates);
  CalibrationError out;
  const auto bins = calibration_bins(p, options.bins);
  double sum_p = 0, sum_label = 0;
  for (const auto& bin : bins) {
    if (bin.weight > 0) out.largest_gap = std::max(out.largest_gap, std::abs(bin.mean_p - bin.observed));
    sum_p += bin.weight * bin.mean_p, sum_label += bin.weight * bin.observed;
  }
  out.ratio = sum_label > 0 ? sum_p / sum_label : kUndefined;
  out.ece = mean_gap(bins);
  out.by_chance = gap_by_chance(p, options.bins);
  const Gaps gaps(p, options.bins);
  const Poisson poisson;
  std::vector<double> drawn(size_t(options.replicates), 0.0);
  at::parallel_for(0, options.replicates, 1, [&](int64_t first, int64_t last) {
    for (int64_t r = first; r < last; ++r) drawn[size_t(r)] = gaps.replicate(poisson, options.seed, uint64_t(r));
  });
  std::erase_if(drawn, [](double d) { return std::isnan(d); });  // in which no row was drawn
  if (drawn.empty()) return out.low = out.high = kUndefined, out;
  std::sort(drawn.begin(), drawn.end());
  const double above = std::accumulate(drawn.begin(), drawn.end(), 0.0) / double(drawn.size()) - out.ece;
  out.low = std::max(0.0, quantile(drawn, 0.025) - above);
  out.high = std::max(0.0, quantile(drawn, 0.975) - above);
  return out;
}

PredictionHistogram prediction_histogram(const Predictions& p, int64_t bins) {
  INTERPLAY_CHECK(bins >= 1, "histogram bins: {}; expected at least 1", bins);
  PredictionHistogram histogram;
  histogram.positive.assign(size_t(bins), 0.0);
  histogram.negative.assign(size_t(bins), 0.0);
  if (p.rows() == 0) return histogram;
  const auto [lowest, highest] = std::minmax_element(p.logit.begin(), p.logit.end());
  histogram.low = sigmoid(*lowest);
  histogram.high = sigmoid(*highest);
  const double width = (histogram.high - histogram.low) / double(bins);
  for (size_t i = 0; i < p.logit.size(); ++i) {
    const auto place = width > 0 ? int64_t((sigmoid(p.logit[i]) - histogram.low) / width) : 0;
    auto& side = p.label[i] >= 0.5f ? histogram.positive : histogram.negative;
    side[size_t(std::clamp<int64_t>(place, 0, bins - 1))] += p.weight_of(i);
  }
  return histogram;
}

}  // namespace interplay
