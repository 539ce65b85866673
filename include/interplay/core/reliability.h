#pragma once

#include <cstdint>
#include <vector>

#include <interplay/core/metric.h>

namespace interplay {

/// Rows whose p lies side by side: what the model said of them, and what happened.
struct CalibrationBin {
  double low_p = 0, high_p = 0;  ///< smallest and largest p inside
  double mean_p = 0;             ///< weighted
  double observed = 0;           ///< weighted share of positives
  double weight = 0;             ///< sum of sample weights
  int64_t rows = 0;
};

/// At most `bins` bins of about the same number of rows, by rising p; rows of equal logit are never parted, so there
/// may be fewer. Equal numbers and not equal widths, because the p of CTR data crowd near zero.
INTERPLAY_API std::vector<CalibrationBin> calibration_bins(const Predictions& predictions, int64_t bins = 20);

/// Expected calibration error (Naeini et al. 2015): the mean of |mean_p - observed|, each bin by its weight.
INTERPLAY_API double mean_gap(const std::vector<CalibrationBin>& bins);

/// How far p is from what happened, with what of it may be chance.
struct CalibrationError {
  double ece = 0;            ///< mean_gap()
  double low = 0, high = 0;  ///< its 95% interval by the bootstrap
  double by_chance = 0;      ///< its expectation on as many rows of these p if nothing were wrong with them
  double largest_gap = 0;    ///< of any bin: the maximum calibration error
  double ratio = 0;          ///< mean p over mean label, calibration in the large; NaN without positives
};

struct CalibrationErrorOptions {
  int64_t bins = 15;
  int64_t replicates = 400;
  uint64_t seed = 1;
};

/// Of predictions of one label. In each replicate a row counts Poisson(1) times, its bin stays (see
/// bootstrap_auc_difference()). Rows drawn twice add to the gaps what chance adds to them, so the replicates lie above
/// `ece` where it is small: the interval is their 2.5% and 97.5% points less the mean of what they are above it, and
/// not below 0. It depends on (data, options) alone, not on the number of threads.
INTERPLAY_API CalibrationError calibration_error(const Predictions& predictions,
                                                 const CalibrationErrorOptions& options = {});

/// How the p of positives and of negatives spread over `bins` equal widths between the smallest and the largest p.
struct PredictionHistogram {
  double low = 0, high = 1;
  std::vector<double> positive, negative;  ///< [bins] sums of sample weights
};
INTERPLAY_API PredictionHistogram prediction_histogram(const Predictions& predictions, int64_t bins = 50);

}  // namespace interplay
