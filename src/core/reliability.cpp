#include <interplay/core/reliability.h>

#include <algorithm>

#include "core/metric/probability.h"
#include "core/ranking.h"

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

}  // namespace

std::vector<CalibrationBin> calibration_bins(const Predictions& predictions, int64_t bins) {
  INTERPLAY_CHECK(bins >= 1, "calibration bins: {}; expected at least 1", bins);
  const Ranking ranking(predictions.logit);
  std::vector<CalibrationBin> result;
  const size_t n = ranking.size();
  size_t first = 0;
  for (int64_t b = 1; b <= bins && first < n; ++b) {
    const size_t goal = n * size_t(b) / size_t(bins);
    if (goal <= first) continue;
    const size_t last = ranking.tie_end(goal - 1);
    result.push_back(summarize(predictions, ranking, first, last));
    first = last;
  }
  return result;
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
