#pragma once

#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include <interplay/base/config.h>
#include <interplay/core/metric.h>
#include <interplay/train/fit_report.h>
#include <interplay/train/train_options.h>

namespace interplay {

/// What training measures at an evaluation, each once: metrics of rows, and those of a ranked catalogue. Terms are
/// measured without being asked for.
struct WantedMetrics {
  explicit WantedMetrics(const TrainOptions& options);
  Config of_rows;                         ///< a list, as evaluate() takes it
  std::vector<std::string> of_catalogue;  ///< as evaluate_retrieval() takes them
};

/// Throws Error where `train.metrics` or `train.monitor` name what there is not.
void check_metrics(const TrainOptions& options);

std::string display_of(const std::string& name);  ///< as printed: `AUC:click` for auc:click

nlohmann::ordered_json number_or_null(double value);  ///< NaN and infinity have no place in JSON
nlohmann::ordered_json to_json(const std::vector<MetricValue>& values);
nlohmann::ordered_json to_json(const EpochReport& report);  ///< a line of metrics.jsonl
EpochReport epoch_report(const nlohmann::ordered_json& line);

}  // namespace interplay
