#pragma once

#include <string>
#include <vector>

#include <interplay/core/bootstrap.h>
#include <interplay/explain/sampled_rows.h>

namespace interplay {

/// Rows that have one value of one field.
struct RowSlice {
  std::string field;
  int64_t id = 0;  ///< of the value, see Encoder::token()
  int64_t rows = 0;
  double mean_p = 0, observed = 0;  ///< weighted
  Interval excess;                  ///< mean log loss, less that of the other rows
  Interval gap;                     ///< mean p less the share of positives: above 0 the model says too much
};

/// The slices of every categorical field in which the model does worst.
struct WorstSlices {
  int64_t looked_at = 0;          ///< slices with enough rows
  std::vector<RowSlice> by_loss;  ///< by the lower end of the excess, the largest first
  std::vector<RowSlice> by_gap;   ///< by how far from 0 the gap surely is, the farthest first
};

struct SliceOptions {
  int64_t min_rows = 100;
  int64_t most = 20;  ///< kept of each ranking
};

/// `fields`: the same rows with the fields that make the slices, which may be more than the model reads; `logits`: of
/// them. Intervals are of 95% for all slices together: with m slices looked at each is one of 1 - 0.05 / m
/// (Bonferroni), by the normal distribution and the standard errors of weighted means; so that by chance a slice is
/// falsely named in one of twenty reports, not in every one. Slices of `min_rows` and less are not looked at.
INTERPLAY_API WorstSlices worst_slices(const SampledRows& fields, const std::vector<float>& logits,
                                       const SliceOptions& options = {});

/// The z beyond which, on either side, a standard normal lies with this probability: 1.96 for 0.05.
INTERPLAY_API double two_sided_z(double probability);

}  // namespace interplay
