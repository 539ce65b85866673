#pragma once

#include <string_view>

#include <ATen/core/Tensor.h>

#include <interplay/lm/gguf.h>

namespace interplay::lm {

/// A tensor of a GGUF file as a tensor of its own, in the file's shape: `type` is at::kFloat (exact) or at::kBFloat16
/// (rounded to nearest even). Rows are read in parallel and in parts, so that beside the result little memory is used.
/// Throws Error(data) where the file has no such tensor, Error(config) for another type.
INTERPLAY_API at::Tensor to_tensor(const Gguf& file, std::string_view name, at::ScalarType type);

}  // namespace interplay::lm
