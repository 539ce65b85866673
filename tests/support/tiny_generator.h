#pragma once

#include <memory>
#include <vector>

#include <interplay/lm/generator.h>

#include "support/stored.h"

namespace interplay::testing {

/// The tiny model with a head of its own: 32 tokens, a context of 64.
inline std::unique_ptr<lm::DecoderGenerator> tiny_generator(const char* name = "llama_untied.gguf") {
  return lm::load_generator(reference_file(name));
}

/// Prompts of 1 to 13 tokens without end tokens.
inline std::vector<lm::LmPrompt> prompts_of(size_t count) {
  std::vector<lm::LmPrompt> out;
  for (size_t i = 0; i < count; ++i) {
    out.emplace_back();
    for (size_t t = 0; t < 1 + i * 5 % 13; ++t) out.back().ids.push_back(int64_t(2 + (i * 7 + t * 11) % 30));
  }
  return out;
}

inline std::vector<lm::TokenIds> ids_of(const std::vector<lm::Generated>& answers) {
  std::vector<lm::TokenIds> out;
  for (const auto& answer : answers) out.push_back(answer.ids);
  return out;
}

}  // namespace interplay::testing
