#pragma once

#include <utility>

#include <ATen/core/Tensor.h>

#include <interplay/base/api.h>

namespace interplay::lm {

/// The sum h + a (a undefined: h) and its root mean square norm x / sqrt(mean(x^2) + eps) * weight (Zhang & Sennrich
/// 2019, arXiv:1910.07467), rounded to `type`. h f32 [N, D], a f32 or bf16 [N, D], weight f32 [D] -> f32 [N, D], [N, D]
/// One pass over memory on the CPU, forwards and backwards; elsewhere, and within nn::PlainScope, by its ATen twin.
/// The weight is frozen.
INTERPLAY_API std::pair<at::Tensor, at::Tensor> add_rms_norm(const at::Tensor& h, const at::Tensor& a,
                                                             const at::Tensor& weight, double eps, at::ScalarType type);

}  // namespace interplay::lm
