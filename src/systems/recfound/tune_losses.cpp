#include "systems/recfound/tune_losses.h"

#include <algorithm>
#include <cmath>

#include <ATen/ATen.h>

#include <interplay/base/error.h>
#include <interplay/core/generators.h>
#include <interplay/nn/contrastive.h>

namespace interplay::recfound {
namespace {

using RandomStates = std::vector<std::pair<std::string, at::Tensor>>;

void restore(const RandomStates& states) {
  for (const auto& [device, state] : states) restore_generator(device, state);
}

/// Texts with the tasks they are read by.
struct Texts {
  std::vector<lm::FramedText> framed;
  std::vector<int64_t> tasks;

  at::Tensor vectors(lm::TunedDecoder& model, size_t first, size_t count) const {
    const auto call = model.call(std::span(tasks).subspan(first, count));
    return lm::text_vectors(model.decoder(), std::span(framed).subspan(first, count), &call);
  }
};

double finite(const at::Tensor& loss, const char* what) {
  const auto value = loss.item<double>();
  if (!std::isfinite(value)) {
    throw Error(fmt::format("the loss of {} is {}; lower the learning rate, or take precision: fp32", what, value),
                ErrorKind::numeric);
  }
  return value;
}

/// Of vectors of all queries, then of all passages.
at::Tensor loss_of(const at::Tensor& vectors, int64_t queries, double temperature) {
  return nn::info_nce_of_passages(vectors.narrow(0, 0, queries), vectors.slice(0, queries), temperature).mean();
}

/// -log P of all tokens of answers, summed.
at::Tensor answers_of(lm::TunedDecoder& model, std::span<const PromptTokens> rows) {
  std::vector<lm::TokenIds> ids;
  std::vector<int64_t> places, targets, tasks;
  int64_t offset = 0;
  for (const auto& row : rows) {
    const auto length = int64_t(row.ids.size());
    for (int64_t t = length - row.answer; t < length; ++t)
      places.push_back(offset + t - 1), targets.push_back(row.ids[size_t(t)]);
    ids.emplace_back(row.ids.begin(), row.ids.end() - 1);  // the last is only predicted
    offset += length - 1;
    tasks.push_back(row.task);
  }
  const auto adapters = model.call(tasks);
  lm::DecoderCall call;
  call.rows = at::tensor(places, at::kLong);
  call.adapters = &adapters;
  const auto hidden = model.decoder()->forward(lm::TokenBatch::of(ids), call);
  const auto logits = model.decoder()->logits(hidden);  // [tokens, V]
  const auto own = logits.gather(1, at::tensor(targets, at::kLong).unsqueeze(1)).squeeze(1);
  return (logits.logsumexp(1) - own).sum();
}

}  // namespace

int64_t tokens_of(const QueryTexts& row) {
  auto out = int64_t(row.query.ids.size());
  for (const auto& passage : row.passages) out += int64_t(passage.ids.size());
  return out;
}

double vector_loss(lm::TunedDecoder& model, std::span<const QueryTexts> rows, const LossOptions& options,
                   double scale) {
  Texts texts;
  for (const auto& row : rows) texts.framed.push_back(row.query), texts.tasks.push_back(row.task);
  for (const auto& row : rows) {
    INTERPLAY_ASSERT(row.passages.size() == rows[0].passages.size());
    for (const auto& passage : row.passages) texts.framed.push_back(passage), texts.tasks.push_back(row.task);
  }
  const auto queries = int64_t(rows.size());
  const size_t all = texts.framed.size(), chunk = size_t(options.chunk);
  const bool learns = scale != 0;
  if (learns && all <= chunk) {
    const auto loss = loss_of(texts.vectors(model, 0, all), queries, options.temperature);
    const double value = finite(loss, "vectors");
    (loss * scale).backward();
    return value;
  }
  std::vector<RandomStates> states;
  std::vector<at::Tensor> parts;
  {
    const at::NoGradGuard off;
    for (size_t first = 0; first < all; first += chunk) {
      if (learns) states.push_back(generator_states());
      parts.push_back(texts.vectors(model, first, std::min(chunk, all - first)));
    }
  }
  auto vectors = at::cat(parts);
  if (!learns) return finite(loss_of(vectors, queries, options.temperature), "vectors");
  vectors.set_requires_grad(true);
  const auto loss = loss_of(vectors, queries, options.temperature);
  const double value = finite(loss, "vectors");
  (loss * scale).backward();
  const auto flow = vectors.grad();
  const auto after = generator_states();
  for (size_t first = 0, part = 0; first < all; first += chunk, ++part) {
    restore(states[part]);
    const size_t count = std::min(chunk, all - first);
    (texts.vectors(model, first, count) * flow.narrow(0, int64_t(first), int64_t(count))).sum().backward();
  }
  restore(after);
  return value;
}

double answer_loss(lm::TunedDecoder& model, std::span<const PromptTokens> rows, const LossOptions& options,
                   double scale) {
  int64_t tokens = 0;
  for (const auto& row : rows) tokens += row.answer;
  double sum = 0;
  const at::AutoGradMode grad(scale != 0);
  for (size_t first = 0; first < rows.size(); first += size_t(options.chunk)) {
    const auto some = rows.subspan(first, std::min(size_t(options.chunk), rows.size() - first));
    const auto loss = answers_of(model, some) / double(tokens);
    sum += finite(loss, "answers");
    if (scale != 0) (loss * scale).backward();
  }
  return sum;
}

}  // namespace interplay::recfound
