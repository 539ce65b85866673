#include "systems/qa4prf/term_reader.h"

#include <algorithm>

#include <ATen/ATen.h>

#include "systems/qa4prf/attention_flow.h"

namespace interplay::qa4prf {
namespace {

constexpr int64_t kLengths = 8;  // texts are padded to a multiple: libraries keep what they compile for each shape

/// Texts of a batch beside one another, padded: ids [B, L] (0 behind the end) and which of them are words.
struct Padded {
  at::Tensor ids, lengths, mask;
};

Padded padded(const std::vector<const std::vector<int64_t>*>& texts, int64_t filler) {
  int64_t longest = 1;
  for (const auto* text : texts) longest = std::max(longest, int64_t(text->size()));
  longest = (longest + kLengths - 1) / kLengths * kLengths;
  const auto B = int64_t(texts.size());
  Padded out{at::full({B, longest}, filler, at::kLong), at::empty({B}, at::kLong), {}};
  for (int64_t i = 0; i < B; ++i) {
    const auto& text = *texts[size_t(i)];
    std::copy(text.begin(), text.end(), out.ids.data_ptr<int64_t>() + i * longest);
    out.lengths.data_ptr<int64_t>()[i] = int64_t(text.size());
  }
  out.mask = at::arange(longest, at::kLong).unsqueeze(0).lt(out.lengths.unsqueeze(1));
  return out;
}

/// Whether each word of `of` [B, n] is one of `among` [B, m].
at::Tensor occurs(const Padded& of, const Padded& among) {
  const auto same = of.ids.unsqueeze(2).eq(among.ids.unsqueeze(1)).logical_and(among.mask.unsqueeze(1));
  return same.any(2).logical_and(of.mask);
}

}  // namespace

BothWaysImpl::BothWaysImpl(int64_t in, int64_t hidden) {
  const auto options = torch::nn::LSTMOptions(in, hidden).batch_first(true);
  forth_ = register_module("forth", torch::nn::LSTM(options));
  back_ = register_module("back", torch::nn::LSTM(options));
}

at::Tensor BothWaysImpl::forward(const at::Tensor& x, const at::Tensor& lengths) {
  // Place i of a text that is read backwards is its place length - 1 - i; padding stays where it is.
  const auto place = at::arange(x.size(1), at::kLong).unsqueeze(0), end = lengths.unsqueeze(1);
  const auto mirrored = at::where(place.lt(end), end - 1 - place, place).unsqueeze(2);
  const auto turned = [&](const at::Tensor& t) { return t.gather(1, mirrored.expand({-1, -1, t.size(2)})); };
  return at::cat({std::get<0>(forth_(x)), turned(std::get<0>(back_(turned(x))))}, 2);
}

TermReaderImpl::TermReaderImpl(int64_t E, const ReaderOptions& o) : options_(o) {
  const int64_t h = o.hidden, D = 2 * h;
  words_ = register_module("words", torch::nn::Linear(E, o.width));
  encoder_ = register_module("encoder", BothWays(o.width + 2, h));
  if (o.attention) attention_ = register_parameter("attention", at::randn({3 * D}) / std::sqrt(double(3 * D)));
  modeler_ = register_module("modeler", BothWays(4 * D, h));
  of_position_ = register_module("of_position", torch::nn::Linear(torch::nn::LinearOptions(D, h).bias(false)));
  of_state_ = register_module("of_state", torch::nn::Linear(torch::nn::LinearOptions(D, h).bias(false)));
  point_at_ = register_parameter("point_at", at::randn({h}) / std::sqrt(double(h)));
  stop_ = register_module("stop", torch::nn::Linear(D, 1));
  if (o.pointer) state_ = register_module("state", torch::nn::LSTMCell(D, D));
  dropout_ = register_module("dropout", torch::nn::Dropout(o.dropout));
}

at::Tensor TermReaderImpl::embed(const Words& words, const at::Tensor& ids, const at::Tensor& shared) {
  const auto flat = ids.reshape({-1});
  const auto vectors = words_(words.vectors.index_select(0, flat)).view({ids.size(0), ids.size(1), -1});
  const auto idf = words.weights.index_select(0, flat).view({ids.size(0), ids.size(1), 1});
  return at::cat({dropout_(vectors), shared.unsqueeze(2).to(vectors.dtype()), idf}, 2);
}

Pointed TermReaderImpl::forward(const Words& words, std::span<const Reading* const> pairs) {
  std::vector<const std::vector<int64_t>*> queries, documents, places;
  for (const auto* pair : pairs)
    queries.push_back(&pair->query), documents.push_back(&pair->document), places.push_back(&pair->slots);
  const Padded q = padded(queries, 0), c = padded(documents, 0);
  const auto encoded_q = dropout_(encoder_(embed(words, q.ids, occurs(q, c)), q.lengths));
  const auto encoded_c = dropout_(encoder_(embed(words, c.ids, occurs(c, q)), c.lengths));
  const auto flow = attention_flow(encoded_c, encoded_q, attention_, c.mask, q.mask);
  Pointable in;
  in.M = dropout_(modeler_(flow.joined, c.lengths));
  in.slots = padded(places, words.candidates).ids;
  in.terms = words.candidates;
  in.steps = options_.steps;
  at::Tensor gains;
  if (!pairs.front()->gains.empty()) {
    gains = at::zeros({int64_t(pairs.size()), words.candidates});
    for (size_t i = 0; i < pairs.size(); ++i) {
      const auto& of = pairs[i]->gains;
      std::copy(of.begin(), of.end(), gains.data_ptr<float>() + int64_t(i) * words.candidates);
    }
  }
  return point(std::move(in), flow.context, gains);
}

Pointed TermReaderImpl::point(Pointable in, const at::Tensor& start, const at::Tensor& gains) {
  at::Tensor h = start, c = at::zeros_like(start);  // the document, as the query sees it, is the first state
  const auto say = [&]() -> PointerStep {
    return {pointer_logits(in.M, h, of_position_->weight, of_state_->weight, point_at_), stop_(h).squeeze(1)};
  };
  if (!options_.pointer) return point_once(in, gains, say());
  if (gains.defined()) in.wanted = gains.gt(0);
  return point_at_terms(in, [&](const at::Tensor& pointed_at) {
    if (pointed_at.defined()) std::tie(h, c) = state_(pointed_at, std::tuple(h, c));
    return say();
  });
}

}  // namespace interplay::qa4prf
