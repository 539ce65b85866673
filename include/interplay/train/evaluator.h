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
  std::vector<double> logit_offsets{};  ///< added to each label's logits: correction for negative sampling; empty = 0
  nn::Precision precision = nn::Precision::fp32;
  std::string progress{};                                   ///< title of the progress line; empty = none
  std::function<void()> before_batch{};                     ///< may throw, to end it
  std::function<void(const Output&, const Batch&)> each{};  ///< called with what the model said of each batch
};

/// What a model says of a whole dataset, in its order: run in eval mode, without gradients; the model's mode is put
/// back afterwards.
INTERPLAY_API Predictions predict(Model& model, const Dataset& dataset, const PredictOptions& options = {});

}  // namespace interplay
