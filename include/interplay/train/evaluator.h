#pragma once

#include <functional>
#include <string>
#include <vector>

#include <interplay/core/metric.h>
#include <interplay/core/model.h>
#include <interplay/data/dataset.h>

namespace interplay {

struct EvaluateOptions {
  int64_t batch_size = 16384;
  at::Device device = at::kCPU;
  double logit_offset = 0;        ///< added to every logit: the correction for negative sampling
  std::string progress;           ///< title of the progress line; empty = none
};

/// Scores of a whole dataset, in its order.
struct Scores {
  std::vector<float> logit;       ///< [N, T]
  std::vector<float> label;       ///< [N, T]
  std::vector<float> weight;      ///< [N], or empty
  std::vector<int64_t> group;     ///< [N], or empty
  int64_t labels = 1;             ///< T
  double seconds = 0;
  Predictions predictions(int64_t label_index = 0) const;
};

/// Runs a model over a dataset in eval mode, without gradients; the model's mode is put back afterwards.
INTERPLAY_API Scores evaluate(Model& model, const Dataset& dataset, const EvaluateOptions& options = {});

/// Metrics of scores. For several labels, names carry the label ("auc:click") and the mean over labels comes first.
INTERPLAY_API std::vector<MetricValue> compute_metrics(const Scores& scores, const std::vector<std::string>& names,
                                                       const std::vector<std::string>& labels);

/// log(rate): what a logit trained on a share `rate` of the negatives is too high by, with its sign, so that
/// logit + negative_rate_offset(rate) is calibrated to all rows (He et al. 2014, sec. 6.3).
INTERPLAY_API double negative_rate_offset(double rate);

}  // namespace interplay
