#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include <interplay/base/api.h>

namespace interplay {

struct AucDifference {
  double auc_a = 0, auc_b = 0;
  double difference = 0;      ///< auc_a - auc_b on the rows as they are
  double mean = 0;            ///< of the replicates' differences
  double standard_error = 0;  ///< their standard deviation
  double low = 0, high = 0;   ///< their 2.5% and 97.5% points: the 95% interval
  int64_t replicates = 0;     ///< that had both classes, and so count
};

/// What is compared: two models' logits for the same rows.
struct PairedLogits {
  std::span<const float> label;             ///< [N] 0 or 1
  std::span<const float> logit_a, logit_b;  ///< [N]
  std::span<const float> weight = {};       ///< [N], or empty: every row counts once
};

/// Is model A better than model B, or lucky? Paired bootstrap of AUC(A) - AUC(B): in each replicate every row counts
/// Poisson(1) times, the same number of times for both models (for large N this is the multinomial bootstrap without
/// its shuffling; Chamandy et al. 2012). It counts by its weight each time: what is drawn are rows, so that a row of
/// weight 10 is one observation and not ten. Rows are ranked once, so a replicate costs O(N). The interval depends on
/// (data, replicates, seed) alone, not on the number of threads. Throws Error unless both classes occur.
INTERPLAY_API AucDifference bootstrap_auc_difference(const PairedLogits& rows, int64_t replicates = 1000,
                                                     uint64_t seed = 1);

/// Several models' logits for the same rows.
struct ScoredRows {
  std::span<const float> label;               ///< [N] 0 or 1
  std::vector<std::span<const float>> logit;  ///< [M][N]
  std::span<const float> weight = {};         ///< [N], or empty: every row counts once
};

/// What a model is worth on some rows.
struct Judgement {
  double auc = 0;      ///< NaN where there is one class only
  double logloss = 0;  ///< mean
};

/// Models on the rows as they are, and on the rows of each replicate, which are the same for all of them: so that
/// anything made of them (a difference, a mean of differences) has its interval.
struct Replicates {
  std::vector<Judgement> whole;               ///< [M]
  std::vector<std::vector<Judgement>> drawn;  ///< [replicates][M]
};
/// Rows are drawn as for bootstrap_auc_difference(). Throws Error where a model lacks a row, Error(data) unless both
/// classes occur.
INTERPLAY_API Replicates bootstrap(const ScoredRows& rows, int64_t replicates = 1000, uint64_t seed = 1);

/// A number and between which two it lies.
struct Interval {
  double value = 0;
  double low = 0, high = 0;
};
/// The percentile interval of what replicates gave; those that are NaN (one class only) do not count. Throws Error
/// where fewer than two are left. `level`: 0.95 for the 95% interval.
INTERPLAY_API Interval percentile_interval(double value, std::vector<double> replicates, double level = 0.95);

}  // namespace interplay
