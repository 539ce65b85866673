#pragma once

#include <cstdint>

#include <ATen/core/Tensor.h>

#include <interplay/base/api.h>

namespace interplay {

/// The directions of greatest variance among some rows. Other rows are put into the same basis.
struct INTERPLAY_API PrincipalBasis {
  at::Tensor mean;                                   ///< f64 [1, D]
  at::Tensor directions;                             ///< f64 [D, min(dimension, D)]
  at::Tensor project(const at::Tensor& rows) const;  ///< f32 [N, D] -> f32 [N, min(dimension, D)]
};
/// Throws Error where rows are no [N, D], or not finite.
INTERPLAY_API PrincipalBasis principal_basis(const at::Tensor& rows, int64_t dimension);

/// Principal components: rows of f32 [N, D], less their mean, in the basis of the `dimension` directions of greatest
/// variance, -> f32 [N, min(dimension, D)].
INTERPLAY_API at::Tensor principal_components(const at::Tensor& rows, int64_t dimension);

}  // namespace interplay
