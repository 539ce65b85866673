#pragma once

#include <limits>
#include <string>
#include <vector>

#include <interplay/explain/sampled_rows.h>

namespace interplay {

/// How much two fields say together that neither says alone.
struct PairStrength {
  std::string first, second;
  double strength = 0;                                  ///< see below; what pairs are ranked by
  double h = std::numeric_limits<double>::quiet_NaN();  ///< the H-statistic, 0 to 1
};

/// What the model itself keeps for a pair: gates (AutoFIS, AIM), weights of pairs (FwFM). The strength is that number,
/// with its sign; of several functions of one pair the largest by size. Largest first by size; empty where the model
/// keeps none, as an FM, whose pairs all count once.
INTERPLAY_API std::vector<PairStrength> own_pair_strengths(const Model& model);

struct PairOptions {
  int64_t rows = 50;  ///< n, drawn from the sample: a pair costs n^2 rows scored, and so does each field
  uint64_t seed = 1;
  std::string progress{};  ///< title of the progress line; empty = none
};

/// The H-statistic of Friedman and Popescu (2008, "Predictive learning via rule ensembles", eq. 44) of every pair of
/// groups, on logits:
///
///     H_jk^2 = sum_i [F_jk(x_ij, x_ik) - F_j(x_ij) - F_k(x_ik)]^2 / sum_i F_jk(x_ij, x_ik)^2
///
/// F_S(x_i): the mean logit where rows of the sample have the fields S of row i, less its mean over i. 0 where the two
/// add up, 1 where all that they say is said together. The strength is the root of the numerator's mean, in logits: H
/// alone is large, too, where two fields say next to nothing. Largest strength first. Rows count once, whatever their
/// weights.
INTERPLAY_API std::vector<PairStrength> h_statistics(const LabelLogit& logit, const SampledRows& rows,
                                                     const std::vector<FieldGroup>& groups,
                                                     const PairOptions& options = {});

}  // namespace interplay
