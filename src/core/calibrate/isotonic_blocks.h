#pragma once

#include <vector>

#include <interplay/core/calibrator.h>

namespace interplay {

/// Rows side by side that have one fitted probability.
struct IsotonicBlock {
  double logit = 0;   ///< weighted mean
  double p = 0;       ///< weighted mean of the labels
  double weight = 0;  ///< sum
};

/// The never falling function of the logit with the least squares, which is also that with the least log loss: pool
/// adjacent violators (Ayer et al. 1955), by rising logit and p. Rows of equal logit are one observation. O(N log N).
INTERPLAY_API std::vector<IsotonicBlock> isotonic_blocks(const CalibrationRows& rows);

/// Pools neighbours until p rises by at most `steepest` times what the mean logit does from each to the next.
INTERPLAY_API std::vector<IsotonicBlock> less_steep(const std::vector<IsotonicBlock>& blocks, double steepest);

}  // namespace interplay
