#pragma once

#include <ATen/core/Tensor.h>

#include <interplay/base/api.h>

namespace interplay::nn {

/// Dropout (Srivastava et al. 2014): in training each number of `x` is zero with probability `share`, and otherwise
/// divided by 1 - share; else x itself. `share` at least 0, below 1. Floats on the CPU take one pass: one number is
/// drawn from torch's default generator, and from it and the place of a number follows whether it is kept, so that
/// nothing is stored for the way back and threads change nothing. Everything else is at::dropout, which draws other
/// numbers.
INTERPLAY_API at::Tensor dropout(const at::Tensor& x, double share, bool training);

}  // namespace interplay::nn
