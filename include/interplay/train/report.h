#pragma once

#include <cstdint>
#include <filesystem>
#include <limits>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <interplay/base/files.h>
#include <interplay/core/bootstrap.h>
#include <interplay/core/metric.h>
#include <interplay/core/reliability.h>
#include <interplay/data/schema.h>
#include <interplay/data/split_counts.h>

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

/// The training loss between evaluations.
struct ReportLoss {
  double epoch = 0;             ///< epochs done
  int64_t step = 0, steps = 0;  ///< the last one, and over how many the loss is the mean
  double train_loss = 0;
  double learning_rate = std::numeric_limits<double>::quiet_NaN();
};

/// Where a run is that is not finished. The page of one that goes on loads itself anew, and says so where it was not
/// written for long.
struct ReportProgress {
  std::string doing = {};  ///< in words: `training`, `evaluating`; where it has ended: why
  bool goes_on = true;
  int64_t epoch = 0, epochs = 0, step = 0, steps = 0;  ///< see FitProgress
  double rows_per_s = std::numeric_limits<double>::quiet_NaN();
  double seconds_left = std::numeric_limits<double>::quiet_NaN();
  double written = 0;  ///< when, in seconds since 1970
  double every_s = 0;  ///< in how many seconds it is written again
};

/// The final model on one split.
struct ReportSplit {
  std::string name = {};  ///< `valid`, `test`
  int64_t rows = 0;
  std::vector<MetricValue> metrics = {};
  std::vector<CalibrationBin> calibration = {};    ///< empty: no reliability diagram
  PredictionHistogram histogram = {};              ///< empty: no histogram
  std::optional<Interval> auc = {}, logloss = {};  ///< with 95% intervals, see bootstrap(); nothing: not computed
  std::optional<CalibrationError> error = {};
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

/// What a model loses where the values of a field are shuffled.
struct ReportImportance {
  std::string field = {};
  Interval loss = {}, auc = {};  ///< log loss gained, AUC lost
};
/// Rows that have one value of a field, on which the model does worse than on the others.
struct ReportWorstSlice {
  std::string slice = {};  ///< `city = Oslo`
  int64_t rows = 0;
  double mean_p = 0, observed = 0;
  Interval excess = {};  ///< log loss, less that of the other rows
};
/// Where scores come from, and where they are worst; on a sample of one split's rows.
struct ReportExplanation {
  std::string told = {};  ///< of which rows, and how long it took; or why it is not there, and what to do about it
  std::vector<ReportImportance> fields = {};
  int64_t slices_looked_at = 0;
  std::vector<ReportWorstSlice> slices = {};
};

/// The prepared data of a run.
struct ReportData {
  std::string directory = {};
  Schema schema = {};  ///< fields and labels that the run reads
  std::vector<Manifest::Entry> files = {};
  std::vector<SplitCounts> splits = {};  ///< of data prepared by an earlier version: without labels and fields
};

/// Everything `report.html` tells of a run. Parts left empty are left out of the page.
struct RunReport {
  std::string title = {};                                       ///< `deepfm on criteo`
  std::string headline = {};                                    ///< how good it is, in a sentence
  std::vector<std::string> remarks = {};                        ///< what to look at, a sentence each
  std::string config = {};                                      ///< resolved, YAML
  std::string monitor = {};                                     ///< as configured: `auc`
  int64_t best_step = -1;                                       ///< the evaluation whose weights were kept; -1: none
  std::vector<std::pair<std::string, std::string>> facts = {};  ///< shown as given: {"parameters", "1.2 M"}
  std::optional<ReportProgress> progress = {};                  ///< of a run that is not finished
  std::vector<ReportEvaluation> evaluations = {};
  std::vector<ReportLoss> losses = {};
  std::vector<std::pair<std::string, double>> profile = {};  ///< seconds of training, by stage
  int64_t trained_rows = 0;                                  ///< in these seconds, all epochs together
  std::vector<ReportSplit> splits = {};
  std::vector<ReportSlices> slices = {};
  std::optional<ReportExplanation> explanation = {};
  std::optional<ReportData> data = {};
};

/// Fills calibration and histogram from the predictions themselves.
INTERPLAY_API ReportSplit report_split(std::string name, const Predictions& predictions,
                                       std::vector<MetricValue> metrics);

/// One page that needs nothing but itself: style, script and, as JSON in the element `report-data`, all the numbers it
/// shows. It loads nothing from anywhere.
INTERPLAY_API std::string report_html(const RunReport& report);
INTERPLAY_API void write_report(const std::filesystem::path& file, const RunReport& report);

}  // namespace interplay
