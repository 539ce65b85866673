#pragma once

#include <cstdint>

#include <ATen/core/Tensor.h>

#include <interplay/base/api.h>

namespace interplay {

/// Principal components: rows of f32 [N, D], less their mean, in the basis of the `dimension` directions of greatest
/// variance, -> f32 [N, min(dimension, D)].
INTERPLAY_API at::Tensor principal_components(const at::Tensor& rows, int64_t dimension);

}  // namespace interplay
