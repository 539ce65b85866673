#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <interplay/lm/prompt_template.h>

namespace interplay::lm {

class Tokenizer;

/// A text as a model reads it: tokens first .. last - 1 are its own, the others its frame and instruction.
struct FramedText {
  std::vector<int64_t> ids;
  int64_t first = 0, last = 0;
  bool cut = false;  ///< whether it was longer than what is read of it

  int64_t own() const { return last - first; }
};

/// What a model is told around a text: `{text}` stands for the text, `{instruction}` for what is to be done with it.
/// Control tokens written out in the frame become those tokens; in texts and instructions they stay text.
///
///     const PromptFrame frame("<|im_start|>user\n{instruction}<|im_end|>\n<|im_start|>embed\n{text}");
///     frame.encode(*tokenizer, "Find the film that is meant.", "Drama from the 1990s", 64);
///
/// Immutable, for any thread.
class INTERPLAY_API PromptFrame {
 public:
  /// Throws Error(config) where `{text}` is missing or comes twice, or where another place is named.
  explicit PromptFrame(std::string_view frame);
  /// Of the text at most `max_tokens` are read; what is longer loses its end. Throws Error(data) for a text without
  /// tokens.
  FramedText encode(const Tokenizer& tokenizer, std::string_view instruction, std::string_view text,
                    int64_t max_tokens) const;

 private:
  PromptTemplate frame_;
};

}  // namespace interplay::lm
