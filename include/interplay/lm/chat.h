#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <interplay/base/api.h>

namespace interplay::lm {

class Tokenizer;

/// One turn of a conversation; `role` is system, user or assistant.
struct ChatMessage {
  std::string role, content;
};

/// How a chat model wants turns to be written: ChatML, `<|im_start|>ROLE\nCONTENT<|im_end|>\n` each. Where the first
/// message is not the system's, the model's own system text goes before it; an empty one asks for none.
///
///     const auto frame = lm::ChatFrame::load(file);
///     const auto ids = frame.encode(*tokenizer, {{"user", "Is water wet? Answer Yes or No."}});
class INTERPLAY_API ChatFrame {
 public:
  explicit ChatFrame(std::string default_system = "") : default_system_(std::move(default_system)) {}
  /// Reads the model's chat template: `tokenizer.chat_template` of a GGUF file; of a folder chat_template.jinja, or
  /// else `chat_template` of tokenizer_config.json. Throws Error(data) where it has none, or one of another form.
  static ChatFrame load(const std::filesystem::path& model);
  /// As load(), from the text of the template; `place` is named in errors.
  static ChatFrame from_template(std::string_view chat_template, const std::string& place);

  const std::string& default_system() const { return default_system_; }

  /// The turns as one text; with `answer`, it ends in the head of the assistant's turn. Throws Error(config) for a role
  /// other than system, user and assistant.
  std::string text(std::span<const ChatMessage> messages, bool answer = true) const;
  /// Ids of text(), where what a message says stays text: a control token's name in it does not become that token.
  std::vector<int64_t> encode(const Tokenizer& tokenizer, std::span<const ChatMessage> messages,
                              bool answer = true) const;
  /// Appends the ids of a text.
  using EncodeText = std::function<void(std::string_view text, std::vector<int64_t>& ids)>;
  /// The same with texts encoded in a way of your own.
  std::vector<int64_t> encode(const Tokenizer& tokenizer, std::span<const ChatMessage> messages, const EncodeText& text,
                              bool answer = true) const;

 private:
  std::vector<ChatMessage> turns(std::span<const ChatMessage> messages) const;
  std::string default_system_;
};

}  // namespace interplay::lm
