#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include <ATen/core/Tensor.h>

#include <interplay/base/api.h>

namespace interplay::recfound {

/// TIES (Yadav et al. 2023, arXiv:2306.01708) of f32 tensors of one shape that began as `base`: of the changes d_k
/// those stay whose sign is that of their sum; of these the int(density n) largest of each tensor; and
///
///     base + sum of what stays / (number that agreed in sign, before the small ones went, + 1e-9)
///
/// Of equally large changes the first stay.
INTERPLAY_API at::Tensor ties(const at::Tensor& base, std::span<const at::Tensor> tensors, double density);
/// Share of the numbers on whose sign all changes agree.
INTERPLAY_API double agreement(const at::Tensor& base, std::span<const at::Tensor> tensors);

INTERPLAY_API at::Tensor linear_mean(std::span<const at::Tensor> tensors);

/// From a to b along the arc between them: sin((1 - t) w) / sin(w) a + sin(t w) / sin(w) b, w the angle between them;
/// on the straight line where |cos w| > 0.9995.
INTERPLAY_API at::Tensor slerp(const at::Tensor& a, const at::Tensor& b, double t);

}  // namespace interplay::recfound
