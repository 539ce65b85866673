#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <interplay/systems/text_index.h>

/// Ranking the documents of an index for a query of weighted terms, and what classical pseudo relevance feedback makes
/// of the best of them. All of it may be called from any thread.
namespace interplay {

struct TermWeight {
  uint32_t term;
  double weight;
};
/// Terms of an index and how much each counts, by term, each once.
using WeightedTerms = std::vector<TermWeight>;

/// A query as its file has it.
struct TextQuery {
  std::string id, text;
};
/// Lines of id, tab, text; packed or not. Throws Error(data) naming the place of a line without a tab, of an id with
/// white space and of one that comes twice.
INTERPLAY_API std::vector<TextQuery> read_queries(const std::filesystem::path& file);

/// How often each of the index's terms is in `text`. Words that no document has are left out.
INTERPLAY_API WeightedTerms query_terms(const TextIndex& index, std::string_view text);
/// Its words, those that no document has among them.
INTERPLAY_API double query_length(const TextIndex& index, std::string_view text);

struct Bm25Options {
  double k1 = 1.2, b = 0.75;
  void visit(auto&& field) {
    field("k1", k1, "how slowly repeated terms saturate", Range{0, 1000});
    field("b", b, "how far long documents count less", Range{0, 1});
  }
};

/// Of each document: sum over q of w_q idf(q) tf (k1 + 1) / (tf + k1 (1 - b + b |d| / avgdl)), with idf = ln(1 + (N - n
/// + 1/2) / (n + 1/2)) (Robertson and Zaragoza 2009, eq. 3.15; the idf is Lucene's, which is never below 0).
/// [documents]
INTERPLAY_API std::vector<double> bm25_scores(const TextIndex& index, std::span<const TermWeight> query,
                                              const Bm25Options& options = {});

/// Of each document: sum over q of w_q ln((tf + mu p(q)) / (|d| + mu)), p(q) = the term's share of all tokens
/// (Dirichlet smoothing; Zhai and Lafferty 2001). Documents without any term of the query have a score too. [documents]
INTERPLAY_API std::vector<double> likelihood_scores(const TextIndex& index, std::span<const TermWeight> query,
                                                    double mu = 500);

struct Hit {
  uint32_t document;
  double score;
};
/// log(1 + (N - n + 1/2) / (n + 1/2)) of a term in n of N documents, as BM25 has it.
INTERPLAY_API double inverse_document_frequency(const TextIndex& index, uint32_t term);

/// The `depth` documents of the highest scores, all for 0: by falling score, of equal ones by place in the index.
INTERPLAY_API std::vector<Hit> best_documents(std::span<const double> scores, int64_t depth);

/// softmax of the scores of hits: P(d|q) where they are likelihoods. [hits]
INTERPLAY_API std::vector<double> document_weights(std::span<const Hit> hits);

/// Sums over feedback documents of P(d|q) tf / |d| (relevance model 1; Lavrenko and Croft 2001). By term.
INTERPLAY_API WeightedTerms relevance_model(const TextIndex& index, std::span<const Hit> feedback);

/// Of each term of the feedback documents: tf log2((1 + p) / p) + log2(1 + p), tf in all of them together and p = the
/// term's occurrences in the index by its documents (Bo1; Amati 2003). By term.
INTERPLAY_API WeightedTerms bo1_model(const TextIndex& index, std::span<const Hit> feedback);

/// The `most` terms of the highest weights, all for 0: by falling weight, of equal ones by their bytes.
INTERPLAY_API std::vector<TermWeight> best_terms(WeightedTerms terms, int64_t most);

/// (1 - beta) query + beta expansion, the latter scaled to sum to `length`: the query's words, those that no document
/// has among them, by default the sum of its weights. beta 0 leaves the query as it is, to the bit. By term.
INTERPLAY_API WeightedTerms mixed_query(std::span<const TermWeight> query, std::span<const TermWeight> expansion,
                                        double beta, double length = 0);

struct FeedbackOptions {
  int64_t documents = 10, terms = 20;
  double mix = 0.5;
  void visit(auto&& field) {
    field("documents", documents, "first documents that are taken for relevant", Range{1, 10000});
    field("terms", terms, "of them, that the query is given", Range{1, 100000});
    field("mix", mix, "share of these terms in the new query (RM3)", Range{0, 1});
  }
};
/// RM3 (Abdul-Jaleel et al. 2004): the relevance model's best terms, mixed into a query of `length` words.
INTERPLAY_API WeightedTerms rm3_query(const TextIndex& index, std::span<const TermWeight> query,
                                      std::span<const Hit> feedback, const FeedbackOptions& options = {},
                                      double length = 0);
/// Bo1's best terms beside the query's own: each weighs tf_q / max tf_q + its weight by the highest one.
INTERPLAY_API WeightedTerms bo1_query(const TextIndex& index, std::span<const TermWeight> query,
                                      std::span<const Hit> feedback, const FeedbackOptions& options = {});

}  // namespace interplay
