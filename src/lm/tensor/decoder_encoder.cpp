#include <interplay/lm/decoder_encoder.h>

#include <algorithm>

#include <ATen/ATen.h>

#include <interplay/base/error.h>
#include <interplay/base/progress.h>
#include <interplay/lm/gguf.h>

#include "lm/tensor/texts.h"

namespace interplay::lm {
DecoderEncoder::DecoderEncoder(const std::filesystem::path& model, EncoderOptions options)
    : options_(std::move(options)),
      tokenizer_(Tokenizer::load(model)),
      decoder_(load_decoder(model, options_.precision)) {
  INTERPLAY_CHECK(!options_.chat || !std::filesystem::is_directory(model),
                  "{}: is a folder; the frame of a chat is read from the chat template of a GGUF file", model.string());
  if (options_.chat) frame_ = ChatFrame::of(Gguf(model));
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

  const size_t shared = shared_tokens(ids);
  KvCache past;
  if (shared > 0) {  // what all begin with counts in each mean
    const auto states =
        decoder_->extend(past, TokenBatch::of({TokenIds(ids[0].begin(), ids[0].begin() + int64_t(shared))}));
    out += states.sum(0);
  }
  const std::vector<int64_t> order = longest_first(ids);
  int64_t all = 0;
  for (const auto& one : ids) all += int64_t(one.size() - shared);
  std::optional<Progress> progress;
  if (!options_.progress.empty()) progress.emplace(options_.progress, all, "tokens");
  for (size_t first = 0, next = 0; first < order.size(); first = next) {
    std::vector<TokenIds> rest;
    int64_t tokens = 0;
    for (; next < order.size(); ++next) {
      const TokenIds& one = ids[size_t(order[next])];
      const auto more = int64_t(one.size() - shared);
      if (next > first && tokens + more > options_.batch_tokens) break;
      rest.emplace_back(one.begin() + int64_t(shared), one.end());
      tokens += more;
    }
    const auto batch = TokenBatch::of(rest);
    DecoderCall call;
    call.past = shared > 0 ? &past : nullptr;
    const auto states = decoder_->forward(batch, call);  // [N, D]
    for (size_t i = first; i < next; ++i) {
      auto mean = out[order[i]];
      mean += states.slice(0, batch.offsets[i - first], batch.offsets[i - first + 1]).sum(0);
      mean /= double(ids[size_t(order[i])].size());
    }
    if (progress) progress->add(tokens, fmt::format("{} texts/s", human_count(double(next) / progress->seconds())));
  }
  return out;
}

}  // namespace interplay::lm
