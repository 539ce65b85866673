#pragma once

#include <cstdint>
#include <memory>

#include <interplay/nn/table_storage.h>

namespace interplay::nn {

/// A gradient that is written out, [n, K], for one record() or many; narrower tables take its first columns.
/// `column`: of [N, F, K], the one that it is; -1: [n, K].
std::shared_ptr<const RowGradient> written_gradient(at::Tensor grad, int64_t column = -1);

}  // namespace interplay::nn
