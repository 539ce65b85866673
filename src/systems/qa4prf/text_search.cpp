#include <interplay/systems/text_search.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <set>

#include <interplay/base/error.h>

#include "systems/qa4prf/lines.h"

namespace interplay {
namespace {

double sum_of(std::span<const TermWeight> terms) {
  double sum = 0;
  for (const auto& t : terms) sum += t.weight;
  return sum;
}

WeightedTerms to_terms(const std::map<uint32_t, double>& weights) {
  WeightedTerms out;
  for (const auto& [term, weight] : weights) out.push_back({term, weight});
  return out;
}

/// How often each term is in a document.
std::map<uint32_t, int64_t> counts_of(const TextIndex& index, uint32_t document) {
  std::map<uint32_t, int64_t> out;
  for (const uint32_t term : index.tokens(document)) ++out[term];
  return out;
}

}  // namespace

std::vector<TextQuery> read_queries(const std::filesystem::path& file) {
  std::vector<TextQuery> out;
  std::set<std::string> seen;
  qa4prf::each_line(file, [&](std::string_view line, const qa4prf::Place& place) {
    const size_t tab = line.find('\t');
    INTERPLAY_CHECK_DATA(tab != line.npos, "{}: has no tab; expected a query's id, a tab and its text", place.text());
    const auto id = line.substr(0, tab);
    qa4prf::check_id(id, "a query", place);
    INTERPLAY_CHECK_DATA(seen.emplace(id).second, "{}: query '{}' is there already", place.text(), id);
    out.push_back({std::string(id), std::string(line.substr(tab + 1))});
  });
  INTERPLAY_CHECK_DATA(!out.empty(), "{}: has no queries; expected lines of id, tab, text", file.string());
  return out;
}

WeightedTerms query_terms(const TextIndex& index, std::string_view text) {
  std::map<uint32_t, double> counts;
  for (const auto& word : index.analyzer().terms(text)) {
    if (const auto term = index.find(word)) ++counts[*term];
  }
  return to_terms(counts);
}

double query_length(const TextIndex& index, std::string_view text) {
  return double(index.analyzer().terms(text).size());
}

double inverse_document_frequency(const TextIndex& index, uint32_t term) {
  const auto N = double(index.documents()), n = double(index.document_frequency(term));
  return std::log(1 + (N - n + .5) / (n + .5));
}

std::vector<double> bm25_scores(const TextIndex& index, std::span<const TermWeight> query, const Bm25Options& o) {
  const double average = std::max(index.info().average_length(), 1e-300);
  std::vector<double> scores(size_t(index.documents()));
  std::vector<double> smooth(size_t(index.longest() + 1));  // by length
  for (size_t l = 0; l < smooth.size(); ++l) smooth[l] = o.k1 * (1 - o.b + o.b * double(l) / average);
  std::vector<Posting> postings;
  for (const auto& [term, weight] : query) {
    if (weight == 0) continue;
    const double factor = weight * inverse_document_frequency(index, term) * (o.k1 + 1);
    index.postings(term, postings);
    for (const auto& [document, count] : postings)
      scores[document] += factor * count / (count + smooth[size_t(index.length(document))]);
  }
  return scores;
}

std::vector<double> likelihood_scores(const TextIndex& index, std::span<const TermWeight> query, double mu) {
  INTERPLAY_CHECK(mu > 0, "mu: is {}; expected a number above 0", mu);
  const auto tokens = double(index.info().tokens);
  double at_zero = 0, weights = 0;  // of a document without any term and of length 0, but for its own ln(|d| + mu)
  for (const auto& [term, weight] : query) {
    if (weight == 0) continue;
    at_zero += weight * std::log(mu * double(index.occurrences(term)) / tokens);
    weights += weight;
  }
  std::vector<double> by_length(size_t(index.longest() + 1));
  for (size_t l = 0; l < by_length.size(); ++l) by_length[l] = at_zero - weights * std::log(double(l) + mu);
  std::vector<double> scores(size_t(index.documents()));
  for (size_t d = 0; d < scores.size(); ++d) scores[d] = by_length[size_t(index.length(uint32_t(d)))];
  std::vector<Posting> postings;
  std::vector<double> by_count;  // what a count adds: most are small
  for (const auto& [term, weight] : query) {
    if (weight == 0) continue;
    const double background = mu * double(index.occurrences(term)) / tokens;
    by_count.assign(1, 0);
    index.postings(term, postings);
    for (const auto& [document, count] : postings) {
      if (count < 1024) {
        while (by_count.size() <= count)
          by_count.push_back(weight * std::log((double(by_count.size()) + background) / background));
        scores[document] += by_count[count];
      } else {
        scores[document] += weight * std::log((count + background) / background);
      }
    }
  }
  return scores;
}

std::vector<Hit> best_documents(std::span<const double> scores, int64_t depth) {
  std::vector<uint32_t> order;
  const auto before = [&](uint32_t a, uint32_t b) { return scores[a] != scores[b] ? scores[a] > scores[b] : a < b; };
  const size_t most = depth == 0 ? scores.size() : std::min(size_t(depth), scores.size());
  if (most == scores.size()) {
    order.resize(most);
    std::iota(order.begin(), order.end(), uint32_t(0));
    std::sort(order.begin(), order.end(), before);
  } else {  // a heap, the last of the best at its top
    for (uint32_t d = 0; d < scores.size(); ++d) {
      if (order.size() == most) {
        if (!before(d, order.front())) continue;
        std::pop_heap(order.begin(), order.end(), before);
        order.pop_back();
      }
      order.push_back(d);
      std::push_heap(order.begin(), order.end(), before);
    }
    std::sort_heap(order.begin(), order.end(), before);
  }
  std::vector<Hit> out;
  for (const uint32_t d : order) out.push_back({d, scores[d]});
  return out;
}

std::vector<double> document_weights(std::span<const Hit> hits) {
  double highest = -INFINITY, sum = 0;
  for (const auto& hit : hits) highest = std::max(highest, hit.score);
  std::vector<double> out;
  for (const auto& hit : hits) sum += out.emplace_back(std::exp(hit.score - highest));
  for (double& weight : out) weight /= sum;
  return out;
}

WeightedTerms relevance_model(const TextIndex& index, std::span<const Hit> feedback) {
  const auto weights = document_weights(feedback);
  std::map<uint32_t, double> model;
  for (size_t i = 0; i < feedback.size(); ++i) {
    const auto length = double(index.length(feedback[i].document));
    for (const auto& [term, count] : counts_of(index, feedback[i].document))
      model[term] += weights[i] * double(count) / length;
  }
  return to_terms(model);
}

WeightedTerms bo1_model(const TextIndex& index, std::span<const Hit> feedback) {
  std::map<uint32_t, double> model;
  for (const auto& hit : feedback) {
    for (const auto& [term, count] : counts_of(index, hit.document)) model[term] += double(count);
  }
  for (auto& [term, weight] : model) {
    const double p = double(index.occurrences(term)) / double(index.documents());
    weight = weight * std::log2((1 + p) / p) + std::log2(1 + p);
  }
  return to_terms(model);
}

std::vector<TermWeight> best_terms(WeightedTerms terms, int64_t most) {
  std::sort(terms.begin(), terms.end(), [](const TermWeight& a, const TermWeight& b) {
    return a.weight != b.weight ? a.weight > b.weight : a.term < b.term;
  });
  if (most > 0 && terms.size() > size_t(most)) terms.resize(size_t(most));
  return terms;
}

WeightedTerms mixed_query(std::span<const TermWeight> query, std::span<const TermWeight> expansion, double beta,
                          double length) {
  std::map<uint32_t, double> out;
  for (const auto& [term, weight] : query) out[term] += (1 - beta) * weight;
  const double of_query = length > 0 ? length : sum_of(query), of_expansion = sum_of(expansion);
  if (beta > 0 && of_expansion > 0) {
    for (const auto& [term, weight] : expansion) out[term] += beta * of_query * (weight / of_expansion);
  }
  return to_terms(out);
}

WeightedTerms rm3_query(const TextIndex& index, std::span<const TermWeight> query, std::span<const Hit> feedback,
                        const FeedbackOptions& o, double length) {
  return mixed_query(query, best_terms(relevance_model(index, feedback), o.terms), o.mix, length);
}

WeightedTerms bo1_query(const TextIndex& index, std::span<const TermWeight> query, std::span<const Hit> feedback,
                        const FeedbackOptions& o) {
  std::map<uint32_t, double> out;
  double highest = 0;
  for (const auto& t : query) highest = std::max(highest, t.weight);
  for (const auto& t : query) out[t.term] += t.weight / highest;
  const auto terms = best_terms(bo1_model(index, feedback), o.terms);
  for (const auto& t : terms) out[t.term] += t.weight / terms.front().weight;
  return to_terms(out);
}

}  // namespace interplay
