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

/// How the p of positives and of negatives spread over `bins` equal widths between the smallest and the largest p.
struct PredictionHistogram {
  double low = 0, high = 1;
  std::vector<double> positive, negative;  ///< [bins] sums of sample weights
};
INTERPLAY_API PredictionHistogram prediction_histogram(const Predictions& predictions, int64_t bins = 50);

}  // namespace interplay
