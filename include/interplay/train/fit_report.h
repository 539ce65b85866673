#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include <interplay/base/stages.h>
#include <interplay/core/metric.h>

namespace interplay {

/// One evaluation during training.
struct EpochReport {
  int64_t epoch = 0;  ///< from 1
  int64_t step = 0;
  double train_loss = 0;                                ///< mean over the steps since the last evaluation
  std::vector<std::pair<std::string, double>> terms{};  ///< means of the parts of the loss, where it has several
  std::vector<MetricValue> metrics;
  double monitor = 0, lr = 0, rows_per_s = 0, seconds = 0;
  int64_t rows = 0;       ///< trained on since the last evaluation
  StageSeconds stages{};  ///< where the seconds went
  bool improved = false;
};

struct FitReport {
  std::vector<EpochReport> evaluations;
  int64_t best = -1;  ///< index into evaluations; -1 = none
  int64_t steps = 0;
  double seconds = 0, rows_per_s = 0;  ///< of training alone, evaluation left out
  double tokens_per_s = 0;             ///< of texts (Output::tokens); 0 where none were read
  StageSeconds stages{};               ///< where they went
  std::string stopped_by;              ///< in words
  bool interrupted = false;
};

}  // namespace interplay
