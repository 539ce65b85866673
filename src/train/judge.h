#pragma once

#include <functional>
#include <limits>
#include <vector>

#include <nlohmann/json.hpp>

#include <interplay/data/dataset.h>
#include <interplay/train/fit_report.h>
#include <interplay/train/stepper.h>

namespace interplay {

/// Evaluations during training: what they measure, which was the best, and whether it is time to stop.
class Judge {
 public:
  explicit Judge(const TrainOptions& options) : options_(options) {}

  /// What is wanted of the model on these rows, and the means of the terms that it gives there. `train`: what a
  /// catalogue is made of. `before_batch` may throw, to cut it short.
  std::vector<MetricValue> measure(Stepper& stepper, const Dataset& valid, const Dataset& train,
                                   const std::function<void()>& before_batch) const;

  void begin();  ///< before a fit: patience and the best begin anew
  /// Sets what the report says of `monitor` and `improved`. Returns whether these weights are the ones to keep.
  bool enter(EpochReport& report);
  bool out_of_patience() const { return options_.patience > 0 && waited_ >= options_.patience; }

  const std::vector<EpochReport>& evaluations() const { return evaluations_; }
  int64_t best() const { return best_; }  ///< index into evaluations(); -1 = none

  nlohmann::ordered_json state() const;
  void restore(const nlohmann::ordered_json& state);

 private:
  const TrainOptions& options_;
  std::vector<EpochReport> evaluations_;
  int64_t waited_ = 0, best_ = -1;
  double best_score_ = -std::numeric_limits<double>::infinity();
};

}  // namespace interplay
