#pragma once

#include <filesystem>

#include <interplay/base/api.h>

namespace interplay {

/// A Model that learns adapters of a language model.
class INTERPLAY_API AdaptedModel {
 public:
  virtual ~AdaptedModel();
  /// Writes them as a safetensors file under PEFT's names, for lm::Decoder::load_adapters() and `lm score --adapter`.
  virtual void save_adapters(const std::filesystem::path& file) const = 0;
};

}  // namespace interplay
