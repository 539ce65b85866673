#pragma once

#include <ATen/core/Tensor.h>

#include <interplay/base/api.h>

namespace interplay::nn {

/// In-batch sampled softmax (Yi et al. 2019, "Sampling-Bias-Corrected Neural Modeling for Large Corpus Item
/// Recommendations", eq. 3 to 5). Row i's own item competes with those of the other rows:
///
///     s_ij = <q_i, v_j> / temperature - log p_j        loss_i = log sum_j exp(s_ij) - s_ii
///
/// query, item f32 [B, K]; id i64 or i32 [B]: rows that hold the same item are no rivals. `log_probability` f32 [B]:
/// how likely item j is to be among a batch's, so that frequent items, which are rivals more often, are not held down
/// for it; undefined: all alike. f32 [B], with gradients to query and item.
INTERPLAY_API at::Tensor in_batch_softmax(const at::Tensor& query, const at::Tensor& item, const at::Tensor& id,
                                          double temperature, const at::Tensor& log_probability = {});

}  // namespace interplay::nn
