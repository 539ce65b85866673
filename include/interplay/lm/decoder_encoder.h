#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include <interplay/lm/chat.h>
#include <interplay/lm/decoder.h>
#include <interplay/lm/encoder.h>
#include <interplay/lm/tokenizer.h>

namespace interplay::lm {

/// A decoder as a text encoder: the mean of the hidden states after the final norm over all tokens that are read, those
/// of the chat frame included, as ReLLa retrieves by (Lin et al. 2024, arXiv:2308.11131). Vectors are not made 1 long.
/// What all texts begin with is read once.
class INTERPLAY_API DecoderEncoder final : public TextEncoder {
 public:
  /// A GGUF file, or a folder as load_decoder() takes it; `options.chat` needs the chat template of a GGUF file.
  explicit DecoderEncoder(const std::filesystem::path& model, EncoderOptions options = {});
  ~DecoderEncoder() override;

  at::Tensor encode(std::span<const std::string> texts) override;
  int64_t width() const override;
  /// With control tokens recognised, or framed as a user's message. Throws Error(data) for a text without tokens.
  TokenIds ids_of(std::string_view text) const override;
  std::string identity() const override;

 private:
  EncoderOptions options_;
  std::unique_ptr<Tokenizer> tokenizer_;
  std::optional<ChatFrame> frame_;
  Decoder decoder_;
};

}  // namespace interplay::lm
