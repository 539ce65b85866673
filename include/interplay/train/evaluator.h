#pragma once

#include <functional>
#include <string>
#include <vector>

#include <interplay/core/metric.h>
#include <interplay/core/model.h>
#include <interplay/data/dataset.h>
#include <interplay/nn/precision.h>

namespace interplay {

struct PredictOptions {
  int64_t batch_size = 4096;
  at::Device device = at::kCPU;
  double logit_offset = 0;  ///< added to every logit: the correction for negative sampling
  nn::Precision precision = nn::Precision::fp32;
  std::string progress{};                ///< title of the progress line; empty = none
  std::function<void()> before_batch{};  ///< may throw, to end it
};

/// What a model says of a whole dataset, in its order, beside what happened.
struct INTERPLAY_API Predicted {
  std::vector<float> logit;    ///< [N, T]
  std::vector<float> label;    ///< [N, T]
  std::vector<float> weight;   ///< [N], or empty
  std::vector<int64_t> group;  ///< [N], or empty
  int64_t labels = 1;          ///< T
  double seconds = 0;
  int64_t rows() const { return int64_t(logit.size()) / labels; }
  /// Metrics named in `wanted`, see evaluate(Predictions). With several labels each metric comes per label, its name
  /// carrying the label ("auc:click"), after the mean over the labels under its own name.
  std::vector<MetricValue> evaluate(const Config& wanted, const std::vector<std::string>& label_names) const;
  Predicted pick(const std::vector<int64_t>& rows) const;
};

/// Runs a model over a dataset in eval mode, without gradients; the model's mode is put back afterwards.
INTERPLAY_API Predicted predict(Model& model, const Dataset& dataset, const PredictOptions& options = {});

/// log(rate): what has to be added to a logit that was trained on a share `rate` of the negatives, so that it is
/// calibrated to all rows (He et al. 2014, "Practical lessons from predicting clicks on ads", sec. 6.3).
INTERPLAY_API double negative_rate_offset(double rate);

}  // namespace interplay
