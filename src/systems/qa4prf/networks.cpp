#include "systems/qa4prf/networks.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <unordered_map>

#include <ATen/ATen.h>

#include "systems/qa4prf/pointing.h"

namespace interplay::qa4prf {

double log_mass(double mass) { return std::log(std::max(mass, 1e-9)); }

std::vector<uint32_t> words_of(const Question& q) {
  std::vector<uint32_t> out = q.words;
  for (const auto& document : q.documents) out.insert(out.end(), document.begin(), document.end());
  for (const auto& c : q.candidates) out.push_back(c.term);
  return out;
}

Readable readable(Question question, const WordVectors& vectors, int64_t candidates) {
  Readable out;
  std::unordered_map<uint32_t, int64_t> slot;
  for (const auto& c : question.candidates) slot.emplace(c.term, int64_t(slot.size()));
  for (const auto& document : question.documents) {
    Reading& reading = out.readings.emplace_back();
    reading.query = vectors.rows(question.words);
    reading.document = vectors.rows(document);
    for (const uint32_t term : document) {
      const auto found = slot.find(term);
      reading.slots.push_back(found == slot.end() ? candidates : found->second);
    }
  }
  out.question = std::move(question);
  return out;
}

NetworksImpl::NetworksImpl(int64_t vector_width, const Qa4PrfOptions& o) {
  if (o.reader) reader = register_module("reader", TermReader(vector_width, o.reading()));
  if (o.lambdarank) ranker = register_module("ranker", nn::Mlp(kFeatures, nn::MlpOptions{.hidden = o.ranker.hidden}));
}

Said NetworksImpl::read(const Words& words, const Readable& r) {
  const size_t K = r.question.candidates.size();
  Said out{std::vector<double>(K), std::vector<double>(K)};
  if (!reader || r.readings.empty()) return out;
  const at::NoGradGuard no_grad;
  const bool training = reader->is_training();
  reader->eval();
  std::vector<const Reading*> pairs;
  std::vector<double> scores;
  for (const auto& reading : r.readings) pairs.push_back(&reading);
  for (const auto& hit : r.question.feedback) scores.push_back(hit.score);
  const Pointed pointed = reader(words, pairs);
  const auto mass = aggregate(at::tensor(scores, at::kDouble), pointed.terms.to(at::kDouble)).contiguous();
  const auto documents = pointed.taken.sum(0).to(at::kDouble).contiguous();
  std::copy_n(mass.const_data_ptr<double>(), K, out.mass.data());
  std::copy_n(documents.const_data_ptr<double>(), K, out.documents.data());
  reader->train(training);
  return out;
}

std::vector<double> NetworksImpl::scores(const Words& words, const WordVectors& vectors, const Readable& r) {
  const Said said = read(words, r);
  std::vector<double> out;
  if (!ranker) {
    for (const double mass : said.mass) out.push_back(log_mass(mass));
    return out;
  }
  const at::NoGradGuard no_grad;
  const auto scores = ranker(features_of(r, said, vectors)).to(at::kDouble).contiguous();
  out.assign(scores.const_data_ptr<double>(), scores.const_data_ptr<double>() + scores.numel());
  return out;
}

at::Tensor features_of(const Readable& r, const Said& said, const WordVectors& vectors) {
  const auto& candidates = r.question.candidates;
  const auto out = at::zeros({int64_t(candidates.size()), kFeatures}, at::kDouble);
  auto* row = out.data_ptr<double>();
  for (size_t i = 0; i < candidates.size(); ++i, row += kFeatures) {
    const Candidate& c = candidates[i];
    const double cosine = vectors.means_something() ? vectors.cosine(c.term, r.question.words) : 0;
    const double features[] = {log_mass(said.mass[i]),
                               std::log(c.rm1),
                               std::log(c.bo1),
                               std::log(std::max(c.count, 1.)),
                               c.documents,
                               c.idf,
                               c.near / std::max(c.count, 1.),
                               cosine,
                               c.place,
                               said.documents[i]};
    static_assert(std::size(features) == kFeatures);
    std::copy(std::begin(features), std::end(features), row);
  }
  if (candidates.empty()) return out.to(at::kFloat);
  const auto centred = out - out.mean(0, true);
  const auto deviation = centred.square().mean(0, true).sqrt();
  return at::where(deviation.gt(1e-9), centred / deviation.clamp_min(1e-9), at::zeros_like(out)).to(at::kFloat);
}

std::vector<TermWeight> expansion_of(const Question& question, std::span<const double> scores, int64_t terms) {
  std::vector<size_t> order(scores.size());
  std::iota(order.begin(), order.end(), size_t(0));
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return scores[a] > scores[b]; });
  order.resize(std::min(order.size(), size_t(terms)));
  std::vector<TermWeight> out;
  double sum = 0;
  for (const size_t i : order) {
    out.push_back({question.candidates[i].term, std::exp(scores[i] - scores[order.front()])});
    sum += out.back().weight;
  }
  for (auto& t : out) t.weight /= sum;
  return out;
}

}  // namespace interplay::qa4prf
