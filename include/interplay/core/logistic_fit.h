#pragma once

#include <span>
#include <vector>

#include <interplay/base/api.h>

namespace interplay {

/// Numbers that a logit is made of, beside what happened in each row.
struct LogisticRows {
  std::vector<std::span<const double>> columns;  ///< each [N]
  std::span<const double> label;                 ///< [N] 0 to 1
  std::span<const double> weight;                ///< [N] above 0
};

struct LogisticFit {
  std::vector<double> slopes;  ///< one a column
  double shift = 0;
  double loss = 0;  ///< sum over rows of weight times log loss
};

/// sum_k slope_k column_k + shift with the least log loss, unregularised; `with_shift` = false: the shift stays 0. A
/// column that is constant has slope 0. Labels that the columns tell apart have no least loss: there the number of
/// steps is the end, at slopes that are large but finite.
INTERPLAY_API LogisticFit fit_logistic(const LogisticRows& rows, bool with_shift = true);

}  // namespace interplay
