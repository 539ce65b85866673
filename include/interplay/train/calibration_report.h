#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include <interplay/core/calibration.h>
#include <interplay/core/reliability.h>
#include <interplay/data/dataset.h>

namespace interplay {

/// What one kind of logits makes of some rows.
struct CalibrationFigures {
  std::string name = {};  ///< `before`, `unsampled`, `after`
  double auc = 0, logloss = 0;
  CalibrationError error = {};
  std::vector<CalibrationBin> bins = {};
};

/// Rows of one label, all of them or those of a slice.
struct CalibrationPart {
  std::string label = {};
  std::string slice = {};  ///< what a value of the field is called; empty: all rows
  int64_t rows = 0;
  std::vector<CalibrationFigures> figures = {};
};

/// A calibration on rows it was not fitted to.
struct CalibrationReport {
  std::string title = {}, split = {}, field = {};
  std::vector<std::pair<std::string, std::string>> facts = {};
  std::vector<CalibrationPart> parts = {};   ///< a label each
  std::vector<CalibrationPart> slices = {};  ///< most rows first; last those of all values that share a map
};

/// `own`: logits of the model itself, of the rows of `dataset`; `name_of`: what an id of the calibration's field is
/// called.
INTERPLAY_API CalibrationReport report_calibration(const Calibration& calibration, const Predictions& own,
                                                   const Dataset& dataset,
                                                   const std::function<std::string(int32_t)>& name_of);

/// All that is in it, for machines; what is undefined is null.
INTERPLAY_API std::string calibration_json(const CalibrationReport& report);
/// One page that needs nothing but itself, as report_html().
INTERPLAY_API std::string calibration_html(const CalibrationReport& report);

}  // namespace interplay
