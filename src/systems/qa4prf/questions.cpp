#include "systems/qa4prf/questions.h"

#include <algorithm>
#include <cmath>
#include <unordered_map>

#include <interplay/base/error.h>

namespace interplay::qa4prf {
namespace {

using Places = std::unordered_map<uint32_t, size_t>;  // of candidates, by term

/// Occurrences of candidates in a document, as it is: all of its tokens.
void count_occurrences(const TextIndex& index, uint32_t document, const WeightedTerms& query, int64_t window,
                       const Places& places, std::vector<Candidate>& candidates) {
  const auto tokens = index.tokens(document);
  const auto is_asked = [&](uint32_t term) {
    const auto at = std::lower_bound(query.begin(), query.end(), term,
                                     [](const TermWeight& t, uint32_t wanted) { return t.term < wanted; });
    return at != query.end() && at->term == term;
  };
  std::vector<int64_t> asked{0};  // words of the query before each place
  for (const uint32_t term : tokens) asked.push_back(asked.back() + is_asked(term));
  const auto n = int64_t(tokens.size());
  std::vector<bool> seen(candidates.size());
  for (int64_t i = 0; i < n; ++i) {
    const auto found = places.find(tokens[size_t(i)]);
    if (found == places.end()) continue;
    Candidate& c = candidates[found->second];
    ++c.count;
    c.documents += !seen[found->second];
    seen[found->second] = true;
    c.near += asked[size_t(std::min(n, i + window + 1))] > asked[size_t(std::max<int64_t>(0, i - window))];
    c.place += double(i) / double(n);
  }
}

std::vector<Candidate> candidates_of(const TextIndex& index, const Question& q, const QuestionOptions& o) {
  const auto N = double(index.documents());
  WeightedTerms fit;
  for (const auto& t : relevance_model(index, q.feedback)) {
    const bool asked =
        std::any_of(q.terms.begin(), q.terms.end(), [&](const TermWeight& w) { return w.term == t.term; });
    if (!asked && double(index.document_frequency(t.term)) <= o.most_common * N) fit.push_back(t);
  }
  std::unordered_map<uint32_t, double> bo1;
  for (const auto& t : bo1_model(index, q.feedback)) bo1[t.term] = t.weight;
  std::vector<Candidate> out;
  Places places;
  for (const auto& t : best_terms(std::move(fit), o.candidates)) {
    places[t.term] = out.size();
    out.push_back(
        {.term = t.term, .rm1 = t.weight, .bo1 = bo1[t.term], .idf = inverse_document_frequency(index, t.term)});
  }
  for (const auto& hit : q.feedback) count_occurrences(index, hit.document, q.terms, o.window, places, out);
  for (auto& c : out) c.place /= std::max(c.count, 1.);
  return out;
}

}  // namespace

Question ask(const TextIndex& index, const TextQuery& query, const QuestionOptions& o) {
  Question out;
  out.query = query;
  out.terms = query_terms(index, query.text);
  out.length = query_length(index, query.text);
  if (out.terms.empty()) return out;
  for (const auto& word : index.analyzer().terms(query.text)) {
    if (const auto term = index.find(word)) out.words.push_back(*term);
  }
  for (const auto& hit : best_documents(likelihood_scores(index, out.terms, o.mu), o.documents)) {
    if (index.length(hit.document) == 0) continue;  // says nothing
    out.feedback.push_back(hit);
    out.documents.push_back(index.tokens(hit.document, o.tokens));
  }
  if (!out.feedback.empty()) out.candidates = candidates_of(index, out, o);
  return out;
}

double average_precision_of(std::span<const double> scores, std::span<const uint32_t> relevant) {
  // Only the relevant documents' ranks are needed: those above the lowest of them are counted, none is sorted.
  std::vector<uint32_t> order(relevant.begin(), relevant.end());
  const auto before = [&](uint32_t a, uint32_t b) { return scores[a] != scores[b] ? scores[a] > scores[b] : a < b; };
  std::sort(order.begin(), order.end(), before);
  std::vector<int64_t> behind(order.size() + 1);  // by how many relevant ones stand before a document
  for (uint32_t d = 0; d < scores.size(); ++d) {
    if (before(order.back(), d)) continue;
    ++behind[size_t(std::lower_bound(order.begin(), order.end(), d, before) - order.begin())];
  }
  std::vector<int64_t> ranks;
  int64_t rank = 0;
  for (size_t i = 0; i < order.size(); ++i) ranks.push_back(rank += behind[i]);
  return average_precision(ranks, int64_t(ranks.size()));
}

Lesson lesson_of(const TextIndex& index, const Question& question, std::span<const uint32_t> relevant,
                 const QuestionOptions& o) {
  Lesson out;
  const auto base = likelihood_scores(index, question.terms, o.mu);
  out.average_precision = average_precision_of(base, relevant);
  std::vector<double> scores(base.size());
  for (const auto& c : question.candidates) {
    const auto alone =
        likelihood_scores(index, std::vector<TermWeight>{{c.term, o.gain_weight * question.length}}, o.mu);
    for (size_t d = 0; d < scores.size(); ++d) scores[d] = base[d] + alone[d];
    const double gain = (average_precision_of(scores, relevant) - out.average_precision) / out.average_precision;
    out.gains.push_back(gain);
    out.grades.push_back(std::count_if(o.gains.begin(), o.gains.end(), [&](double least) { return gain > least; }));
  }
  return out;
}

}  // namespace interplay::qa4prf
