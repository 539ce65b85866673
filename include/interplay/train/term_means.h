#pragma once

#include <utility>
#include <vector>

#include <interplay/core/metric.h>
#include <interplay/core/objective.h>

namespace interplay {

/// Means over rows of what a model learns beside the labels, or in their place: `term:NAME`, less being better. A batch
/// that has nothing of a term has no part in its mean.
///
///     TermMeans terms(objective);
///     predict(model, rows, {.each = [&](const Output& out, const Batch& batch) { terms.add(out, batch); }});
///     log::info("{}", metrics_line(terms.values()));
class INTERPLAY_API TermMeans {
 public:
  /// The objective must outlive it; `device` is where the model is.
  explicit TermMeans(const Objective& objective, at::Device device = at::kCPU)
      : objective_(objective), device_(device) {}

  void add(const Output& out, const Batch& batch);
  std::vector<MetricValue> values() const;  ///< in the order in which the model gave them

 private:
  const Objective& objective_;
  at::Device device_;
  std::vector<std::pair<MetricValue, double>> sums_;  // and the rows
};

}  // namespace interplay
