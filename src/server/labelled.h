#pragma once

#include <limits>

#include <nlohmann/json.hpp>

#include "server/version_stats.h"

namespace interplay::server {

/// Of rows whose label is known: how good their scores are. NaN where there are too few.
struct LabelledQuality {
  int64_t rows = 0;
  double auc = std::numeric_limits<double>::quiet_NaN(), logloss = auc;
  double mean_p = auc, mean_label = auc;  ///< a calibrated model's are alike
};
LabelledQuality quality_of(const std::vector<LabelledScores::Row>& rows);

/// Which of two models' scores are better: both qualities, and the paired bootstrap's interval of what is between their
/// AUC (shadow less stable).
nlohmann::ordered_json compare_labelled(const std::vector<LabelledScores::Row>& rows);

}  // namespace interplay::server
