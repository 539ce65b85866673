#pragma once

#include <cstdint>
#include <filesystem>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include <interplay/core/metric.h>
#include <interplay/core/reliability.h>

namespace interplay {

/// One evaluation during training.
struct ReportEvaluation {
  int64_t step = 0;
  double epoch = 0;                                              ///< epochs done, 2.5 = half way through the third
  double train_loss = std::numeric_limits<double>::quiet_NaN();  ///< mean since the evaluation before
  double learning_rate = std::numeric_limits<double>::quiet_NaN();
  double monitored = std::numeric_limits<double>::quiet_NaN();  ///< monitor_value(): what early stopping maximised
  double rows_per_s = std::numeric_limits<double>::quiet_NaN();
  double seconds = std::numeric_limits<double>::quiet_NaN();  ///< since training began
  std::vector<MetricValue> metrics = {};                      ///< on the validation split
  /// Means of the parts of the loss since the evaluation before, where it has several: of labels, of terms.
  std::vector<std::pair<std::string, double>> terms = {};
};

/// The final model on one split.
struct ReportSplit {
  std::string name = {};  ///< `valid`, `test`
  int64_t rows = 0;
  std::vector<MetricValue> metrics = {};
  std::vector<CalibrationBin> calibration = {};  ///< empty: no reliability diagram
  PredictionHistogram histogram = {};            ///< empty: no histogram
};

/// Metrics of the rows that share a value of one field.
struct ReportSlice {
  std::string value = {};
  int64_t rows = 0;
  std::vector<MetricValue> metrics = {};
};
struct ReportSlices {
  std::string field = {}, split = {};
  std::vector<ReportSlice> slices = {};
};

/// Everything `report.html` tells of a run. Parts left empty are left out of the page.
struct RunReport {
  std::string title = {};                                       ///< `deepfm on criteo`
  std::string config = {};                                      ///< resolved, YAML
  std::string monitor = {};                                     ///< as configured: `auc`
  int64_t best_step = -1;                                       ///< the evaluation whose weights were kept; -1: none
  std::vector<std::pair<std::string, std::string>> facts = {};  ///< shown as given: {"parameters", "1.2 M"}
  std::vector<ReportEvaluation> evaluations = {};
  std::vector<std::pair<std::string, double>> profile = {};  ///< seconds of training, by stage
  int64_t trained_rows = 0;                                  ///< in these seconds, all epochs together
  std::vector<ReportSplit> splits = {};
  std::vector<ReportSlices> slices = {};
};

/// Fills calibration and histogram from the predictions themselves.
INTERPLAY_API ReportSplit report_split(std::string name, const Predictions& predictions,
                                       std::vector<MetricValue> metrics);

/// One page that needs nothing but itself: style, script and, as JSON in the element `report-data`, all the numbers it
/// shows. It loads nothing from anywhere.
INTERPLAY_API std::string report_html(const RunReport& report);
INTERPLAY_API void write_report(const std::filesystem::path& file, const RunReport& report);

}  // namespace interplay
