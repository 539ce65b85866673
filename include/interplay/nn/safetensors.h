#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <string>

#include <ATen/core/Tensor.h>

#include <interplay/base/files.h>

namespace interplay::nn {

/// Tensors by name in a safetensors file, which Python opens too. Written aside, synced and renamed; strided views are
/// written as they read. `metadata` are free text entries of the header; `xxh3`, a checksum of the file, is added.
INTERPLAY_API void save_safetensors(const std::filesystem::path& file, const std::map<std::string, at::Tensor>& tensors,
                                    const std::map<std::string, std::string>& metadata = {});

/// A safetensors file, mapped: tensors are views of the mapping, read-only, and keep it alive. Sizes, types and offsets
/// are checked before anything is believed: Error(data) names file and entry.
class INTERPLAY_API Safetensors {
 public:
  explicit Safetensors(const std::filesystem::path& file);
  const std::map<std::string, at::Tensor>& tensors() const { return tensors_; }
  const at::Tensor& at(const std::string& name) const;  ///< throws Error(data) naming the file
  bool has(const std::string& name) const { return tensors_.contains(name); }
  /// Reads all of the file. Throws Error(data) where it is not what was saved; other programs' files have no checksum.
  void check() const;
  const std::map<std::string, std::string>& metadata() const { return metadata_; }

 private:
  std::filesystem::path file_;
  std::shared_ptr<const MappedFile> mapped_;
  std::map<std::string, at::Tensor> tensors_;
  std::map<std::string, std::string> metadata_;  // all but the checksum
  std::string checksum_;
};

}  // namespace interplay::nn
