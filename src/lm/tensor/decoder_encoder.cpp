#include <interplay/lm/decoder_encoder.h>

#include <algorithm>

#include <ATen/ATen.h>

#include <interplay/base/error.h>

#include "lm/tensor/reading.h"
#include "lm/tensor/texts.h"

namespace interplay::lm {

DecoderEncoder::DecoderEncoder(const std::filesystem::path& model, EncoderOptions options)
    : options_(std::move(options)),
      tokenizer_(Tokenizer::load(model)),
      decoder_(load_decoder(model, options_.precision)) {
  if (options_.chat) frame_ = ChatFrame::load(model);
  const int64_t context = decoder_->config().context;
  if (options_.max_length == 0) options_.max_length = context;
  INTERPLAY_CHECK(options_.max_length >= 1 && options_.max_length <= context,
                  "max_length is {}; expected 1 to {}, the positions of the model", options_.max_length, context);
}

DecoderEncoder::~DecoderEncoder() = default;

int64_t DecoderEncoder::width() const { return decoder_->config().width; }

std::string DecoderEncoder::identity() const {
  return fmt::format("llama {}, mean of at most {} tokens, {}, {}", decoder_->checksum(), options_.max_length,
                     frame_ ? "in the chat frame" : "as it is", nn::to_string(options_.precision));
}

TokenIds DecoderEncoder::ids_of(std::string_view text) const {
  TokenIds ids;
  if (frame_) {
    const std::vector<ChatMessage> message{{"user", std::string(text)}};
    ids = frame_->encode(*tokenizer_, message);
    ids.resize(std::min(ids.size(), size_t(options_.max_length)));
  } else {
    ids = tokenizer_->encode(text, {.control = true, .frame = true, .max_length = options_.max_length});
  }
  INTERPLAY_CHECK_DATA(!ids.empty(), "the text has no tokens; a decoder has no vector for it");
  return ids;
}

at::Tensor DecoderEncoder::encode(std::span<const std::string> texts) {
  const at::NoGradGuard no_grad;
  const std::vector<TokenIds> ids = ids_of_all(*this, texts);
  auto out = at::zeros({int64_t(texts.size()), width()}, at::kFloat);
  if (texts.empty()) return out;

  Reading reading(decoder_, ids, options_.batch_tokens);
  const auto beginning = reading.beginning().sum(0);  // counts in each mean
  reading.run(
      options_.progress, [](const auto&, const TokenBatch&) { return at::Tensor(); },
      [&](const std::vector<int64_t>& which, const TokenBatch& batch, const at::Tensor& states) {
        for (size_t i = 0; i < which.size(); ++i) {
          const auto sum = states.slice(0, batch.offsets[i], batch.offsets[i + 1]).sum(0) + beginning;
          out[which[i]].copy_(sum / double(ids[size_t(which[i])].size()));
        }
      });
  return out;
}

}  // namespace interplay::lm
