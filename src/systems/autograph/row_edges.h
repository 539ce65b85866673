#pragma once

#include <cstdint>
#include <vector>

#include <ATen/core/Tensor.h>

#include <interplay/data/features.h>

namespace interplay::autograph {

/// Leaves at most `most` of some nodes: of more a draw by (seed, stream), in no order.
INTERPLAY_API void take_some(std::vector<int64_t>& nodes, int64_t most, uint64_t seed, uint64_t stream);

/// The items of each row's history that its user's node reads, i64 [B, most] on the CPU, each once; -1: no more. Of
/// more than `most`: the last ones or, where `draw` says so, as many that are drawn by torch's default generator.
INTERPLAY_API at::Tensor row_items(const Sequence& history, int64_t most, bool draw);

/// Lists of users, i64 [B, L] with -1 behind them, each less one: the row's own user, i64 [B]. Where that one is not in
/// the list, as of a negative, and the list has room for more, so that its own click would be in it, a user is left out
/// that torch's default generator draws: else what lacks a click would be told as a positive by that alone.
INTERPLAY_API at::Tensor without_a_click(const at::Tensor& lists, const at::Tensor& own);

}  // namespace interplay::autograph
