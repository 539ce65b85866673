#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <interplay/core/metric.h>
#include <interplay/core/model.h>
#include <interplay/data/row_facts.h>
#include <interplay/nn/precision.h>

namespace interplay {

struct PredictOptions {
  int64_t batch_size = 4096;
  at::Device device = at::kCPU;
  std::vector<double> logit_offsets{};  ///< added to each label's logits: correction for negative sampling; empty = 0
  nn::Precision precision = nn::Precision::fp32;
  std::string progress{};                                   ///< title of the progress line; empty = none
  std::function<void()> before_batch{};                     ///< may throw, to end it
  std::function<void(const Output&, const Batch&)> each{};  ///< called with what the model said of each batch
};

/// What a model says of a whole dataset, in its order, beside what happened.
struct INTERPLAY_API Predicted : RowFacts {
  std::vector<float> logit;  ///< [N, T]; empty where the model scores no rows
  int64_t labels = 1;        ///< T
  double seconds = 0;
  int64_t rows() const { return int64_t(logit.size()) / labels; }
  /// The rows that have label t. Views into this where all of them do and T is 1, else into its own arrays.
  struct OfLabel {
    std::vector<float> logit_, label_, weight_;
    std::vector<int64_t> group_;
    std::vector<int64_t> rows;  ///< which rows these are; empty: all
    Predictions predictions;
  };
  std::shared_ptr<const OfLabel> of_label(int64_t t) const;
  /// Metrics named in `wanted`, see evaluate(Predictions). With several labels each metric comes per label, its name
  /// carrying the label ("auc:click"), after the mean over the labels under its own name; a label's metrics are those
  /// of the rows that have it. Throws Error where there is not a label for each logit.
  std::vector<MetricValue> evaluate(const Config& wanted, const std::vector<std::string>& label_names) const;
  Predicted pick(const std::vector<int64_t>& rows) const;
};

/// Runs a model over a dataset in eval mode, without gradients; the model's mode is put back afterwards.
INTERPLAY_API Predicted predict(Model& model, const Dataset& dataset, const PredictOptions& options = {});

}  // namespace interplay
