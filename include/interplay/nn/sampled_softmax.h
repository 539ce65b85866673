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

/// Sampled softmax against items that were drawn: row i's own item competes with its N of `candidates`:
///
///     s_i0 = <q_i, v_i> / temperature, s_ij = <q_i, c_{which_ij}> / temperature        loss_i = log sum_j exp(s_ij) -
///     s_i0
///
/// query, item f32 [B, K]; candidates f32 [M, K]; which i64 [B, N], 0 .. M - 1. f32 [B], with gradients to all three.
INTERPLAY_API at::Tensor sampled_softmax(const at::Tensor& query, const at::Tensor& item, const at::Tensor& candidates,
                                         const at::Tensor& which, double temperature);

/// Of each row `count` distinct ones of `all` (i64 [A], ascending), its own (i64 [B]) not among them, drawn alike by
/// torch's default generator: i64 [B, min(count, A - 1)], on the CPU.
INTERPLAY_API at::Tensor draw_negatives(const at::Tensor& own, const at::Tensor& all, int64_t count);

}  // namespace interplay::nn
