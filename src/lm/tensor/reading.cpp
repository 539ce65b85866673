#include "lm/tensor/reading.h"

#include <algorithm>
#include <optional>

#include <ATen/ATen.h>

#include <interplay/base/error.h>
#include <interplay/base/progress.h>

#include "lm/tensor/texts.h"

namespace interplay::lm {

Reading::Reading(Decoder decoder, std::span<const TokenIds> texts, int64_t batch_tokens, size_t most_shared,
                 const Conditions& conditions)
    : decoder_(std::move(decoder)), texts_(texts), batch_tokens_(batch_tokens), conditions_(conditions) {
  const int64_t most = decoder_->config().context;
  for (size_t i = 0; i < texts.size(); ++i) {
    const auto found = int64_t(texts[i].size());
    INTERPLAY_CHECK(found > 0, "prompt {} of {} has no tokens", i + 1, texts.size());
    INTERPLAY_CHECK_DATA(found <= most, "prompt {} of {} has {} tokens; the model was made for {} at most; shorten it",
                         i + 1, texts.size(), found, most);
  }
  if (conditions_.is_by_sample()) most_shared = 0;
  for (const auto& text : texts) {
    if (!conditions_.has_vectors()) break;
    most_shared =
        std::min(most_shared, size_t(std::find(text.begin(), text.end(), TokenBatch::kVector) - text.begin()));
  }
  constexpr size_t kWorthwhile = 8;
  const size_t shared = shared_tokens(texts, most_shared);
  beginning_ = at::empty({0, decoder_->config().width});
  if (shared < kWorthwhile) return;
  const auto first = texts[0].begin();
  beginning_ = decoder_->extend(past_, TokenBatch::of({TokenIds(first, first + int64_t(shared))}));
}

void Reading::run(const std::string& progress, const Rows& rows, const Use& use) {
  const at::NoGradGuard no_grad;
  const int64_t shared = beginning_.size(0);
  const auto order = longest_first(texts_);
  int64_t all = 0;
  for (const auto& text : texts_) all += int64_t(text.size()) - shared;
  std::optional<Progress> line;
  if (!progress.empty()) line.emplace(progress, all, "tokens");
  for (size_t begin = 0, end; begin < order.size(); begin = end) {
    std::vector<TokenIds> rest;
    int64_t tokens = 0;
    for (end = begin; end < order.size(); ++end) {
      const TokenIds& text = texts_[size_t(order[end])];
      const int64_t more = int64_t(text.size()) - shared;
      if (end > begin && tokens + more > batch_tokens_) break;
      rest.emplace_back(text.begin() + shared, text.end());
      tokens += more;
    }
    const std::vector<int64_t> which(order.begin() + int64_t(begin), order.begin() + int64_t(end));
    const auto batch = decoder_->batch(rest, conditions_.vectors(which));
    const auto adapters = conditions_.adapters(which);
    DecoderCall call;
    if (!adapters.mixes.empty()) call.adapters = &adapters;
    call.past = shared > 0 ? &past_ : nullptr;
    call.rows = rows(which, batch);
    use(which, batch, decoder_->forward(batch, call));
    if (line) line->also(int64_t(end - begin), "texts"), line->add(tokens);
  }
}

}  // namespace interplay::lm
