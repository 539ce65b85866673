#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include <ATen/core/Tensor.h>

namespace interplay {

/// Vectors of items for retrieval by cosine. Immutable, for any thread.
class ItemVectors {
 public:
  ItemVectors() = default;
  ItemVectors(ItemVectors&&) = default;  // no copies: places_ looks into names_
  ItemVectors& operator=(ItemVectors&&) = default;
  /// f32 [items, D], each of length 1, or zero: near to nothing.
  ItemVectors(const at::Tensor& vectors, std::vector<std::string> names);

  const at::Tensor& vectors() const { return vectors_; }  ///< [items, D]
  const std::vector<std::string>& names() const { return names_; }
  int64_t find(std::string_view name) const;  ///< -1: there is none
  /// Places in `past` of the k items nearest to `target`, nearest first; of equally near ones the later. An item of -1
  /// has the similarity 0.
  std::vector<uint32_t> nearest(int64_t target, std::span<const int64_t> past, int64_t k) const;

  /// As tensors of a safetensors file, and back; Error(data) where `file` has none.
  std::vector<std::pair<std::string, at::Tensor>> tensors() const;
  static bool is_tensor(std::string_view name);
  static ItemVectors load(const std::filesystem::path& file);

 private:
  at::Tensor vectors_;
  std::vector<std::string> names_;
  std::unordered_map<std::string_view, int64_t> places_;
};

}  // namespace interplay
