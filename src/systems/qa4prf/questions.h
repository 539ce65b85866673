#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include <interplay/base/options.h>
#include <interplay/systems/relevance.h>
#include <interplay/systems/text_search.h>

namespace interplay::qa4prf {

struct QuestionOptions {
  double mu = 500;
  int64_t documents = 10, tokens = 256, candidates = 100, window = 12;
  double most_common = 0.1;
  double gain_weight = 0.2;
  std::vector<double> gains = {0.005, 0.05};
  void visit(auto&& field) {
    field("mu", mu, "of the query likelihood, in both retrievals", Range{1e-6, 1e9});
    field("documents", documents, "first documents that are taken for relevant", Range{1, 1000});
    field("tokens", tokens, "of a document, that are read", Range{1, 100000});
    field("candidates", candidates,
          "terms of a query's documents, those of the highest weight in their relevance model", Range{1, 100000});
    field("most_common", most_common, "share of all documents that have a candidate at most", Range{0, 1});
    field("window", window, "words on either side in which a query's word is near a term", Range{0, 100000});
    field("gain_weight", gain_weight, "of a term that is tried, beside a query that weighs 1", Range{0, 100});
    field("gains", gains,
          "gain in average precision, relative to the query's own, from which a term has grade 1, 2, ...",
          Range{0, 1e6});
  }
};

/// What classical feedback knows of a term that might join a query.
struct Candidate {
  uint32_t term = 0;
  double rm1 = 0, bo1 = 0;          ///< weights in the relevance model and in Bo1's
  double count = 0, documents = 0;  ///< occurrences in the feedback documents; how many of them have it
  double idf = 0;                   ///< ln(1 + (N - n + 1/2) / (n + 1/2)) in the index
  double near = 0;                  ///< occurrences with a word of the query in the window
  double place = 0;                 ///< mean of place / length over its occurrences
};

/// A query with what its first retrieval gives. Nothing of it comes from judgements.
struct Question {
  TextQuery query;
  WeightedTerms terms;
  double length = 0;  ///< words of the query, those that no document has among them
  std::vector<Hit> feedback;
  std::vector<uint32_t> words;                   ///< of the query, in their order, those that the index has
  std::vector<std::vector<uint32_t>> documents;  ///< of the feedback, cut at `tokens`
  std::vector<Candidate> candidates;             ///< by falling rm1; no word of the query
};
INTERPLAY_API Question ask(const TextIndex& index, const TextQuery& query, const QuestionOptions& options);

/// What judgements say of a question's candidates.
struct Lesson {
  double average_precision = 0;  ///< of the first retrieval
  std::vector<double> gains;     ///< of each candidate: what it adds to average precision, relative to that
  std::vector<int64_t> grades;   ///< 0, 1, 2 ...: how many of the options' thresholds the gain reaches
};
/// Each candidate is tried by itself on all documents. `relevant`: places of the query's relevant documents, not empty.
INTERPLAY_API Lesson lesson_of(const TextIndex& index, const Question& question, std::span<const uint32_t> relevant,
                               const QuestionOptions& options);

/// Average precision of the ranking by these scores, equal ones by their place. `relevant` not empty.
INTERPLAY_API double average_precision_of(std::span<const double> scores, std::span<const uint32_t> relevant);

}  // namespace interplay::qa4prf
