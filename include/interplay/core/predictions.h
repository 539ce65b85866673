#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include <interplay/base/api.h>

namespace interplay {

/// What a model said of N rows, beside what happened in them. A metric is given those of one label, T = 1.
///
/// Kept in float, so an evaluation costs 8 bytes a row plus 8 while something is being ranked. Metrics rank by logit,
/// never by probability: a float sigmoid makes ties where the model made none.
struct INTERPLAY_API Predictions {
  std::vector<float> logit = {};  ///< [N, T] before the sigmoid; empty where the model scores no rows
  /// [N, T] 0 or 1; where a class is needed, 0.5 and above is positive. NaN: the row lacks this label.
  std::vector<float> label = {};
  std::vector<float> weight = {};   ///< [N] or empty: every row counts once
  std::vector<int64_t> group = {};  ///< [N] or empty: whose row it is, for gauc
  int64_t labels = 1;               ///< T
  std::vector<int64_t> row = {};    ///< [N] which rows of a dataset these are; empty: all of them

  int64_t rows() const { return int64_t(logit.size()) / labels; }
  double weight_of(size_t i) const { return weight.empty() ? 1.0 : double(weight[i]); }
  /// Those of label t, of the rows that have it, T = 1: a view of this where that is all of it, which then has to
  /// outlive it. Throws Error where there is not a label for each logit.
  std::shared_ptr<const Predictions> of_label(int64_t t) const;
  Predictions pick(const std::vector<int64_t>& places) const;  ///< of these places in 0 .. N - 1
};

}  // namespace interplay
