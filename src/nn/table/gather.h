#pragma once

#include <cstdint>
#include <vector>

#include <interplay/nn/table_storage.h>

namespace interplay::nn {

using Tables = std::vector<c10::intrusive_ptr<TableStorage>>;

/// ids i32 [N, F] through F tables -> f32 [N, F, K], rows of narrower tables followed by zeros; in a graph, one node
/// that leaves the gradients on the tables' tapes.
at::Tensor gather_rows(const at::Tensor& ids, Tables tables, int64_t width);

}  // namespace interplay::nn
