#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include <ATen/core/Tensor.h>

#include <interplay/lm/gguf.h>
#include <interplay/nn/safetensors.h>

namespace interplay::lm {

/// A tensor of a GGUF file as a tensor of its own, in the file's shape: `type` is at::kFloat (exact) or at::kBFloat16
/// (rounded to nearest even). Rows are read in parallel and in parts, so that beside the result little memory is used.
/// Throws Error(data) where the file has no such tensor, Error(config) for another type.
INTERPLAY_API at::Tensor to_tensor(const Gguf& file, std::string_view name, at::ScalarType type);

/// The weights of a model as Hugging Face's libraries write them: one safetensors file, or several that each hold a
/// part of the tensors.
class INTERPLAY_API StoredWeights {
 public:
  explicit StoredWeights(const std::vector<std::filesystem::path>& files);  ///< one or more; model_files.h finds them
  bool has(const std::string& name) const;
  /// A view of the file. Throws Error(data) naming file and tensor unless there is one of real numbers in this shape.
  const at::Tensor& at(const std::string& name, at::IntArrayRef shape) const;

 private:
  struct Part {
    std::string file;
    nn::Safetensors tensors;
  };
  std::vector<Part> parts_;
};

}  // namespace interplay::lm
