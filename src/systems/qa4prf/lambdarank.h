#pragma once

#include <cstdint>
#include <vector>

#include <ATen/core/Tensor.h>

#include <interplay/base/api.h>

namespace interplay::qa4prf {

/// LambdaRank (Burges et al. 2006; Burges 2010, MSR-TR-2010-82) as a loss: the sum over pairs of grades y_i > y_j of
/// |dNDCG_ij| ln(1 + exp(s_j - s_i)), |dNDCG_ij| = |(2^y_i - 2^y_j)(D(r_i) - D(r_j))| / IDCG, D(r) = 1 / log2(2 + r) of
/// the first `depth` places r = 0, 1, ..., 0 of the others; no gradient flows through it. Of equal scores the one of
/// the lower index ranks first. scores f32 or f64 [n], grades i64 [n] -> scalar; 0 where there is no pair.
INTERPLAY_API at::Tensor lambdarank_loss(const at::Tensor& scores, const at::Tensor& grades, int64_t depth = 20);

/// Places 0, 1, ... by falling score; of equal ones the lower index is first. [n] -> i64 [n]
INTERPLAY_API at::Tensor ranks_of(const at::Tensor& scores);

}  // namespace interplay::qa4prf
