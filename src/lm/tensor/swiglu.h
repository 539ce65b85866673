#pragma once

#include <ATen/core/Tensor.h>

#include <interplay/base/api.h>

namespace interplay::lm {

/// silu(gate) * up (Shazeer 2020, arXiv:2002.05202). f32 or bf16 [N, 2 F], gate first -> [N, F]
/// One pass over memory on the CPU, forwards and backwards; elsewhere, and within nn::PlainScope, by its ATen twin.
INTERPLAY_API at::Tensor swiglu(const at::Tensor& gate_up);

}  // namespace interplay::lm
