#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <interplay/base/config.h>
#include <interplay/systems/text_search.h>

/// QA4PRF (Ma et al. 2021, arXiv:2111.08229): pseudo relevance feedback as question answering. The query is the
/// question, a document that it finds the context, terms that belong into the query the answers: a network reads
/// document after document and points at them, LambdaRank weighs what it points at against what classical feedback
/// knows of each term. The paper's abstract is all that the authors published; src/systems/qa4prf/README.md says what
/// of it is ours.
namespace interplay {

struct PrfRun {
  std::filesystem::path out;  ///< the run directory
  bool resume = false;        ///< go on behind the last finished epoch in `out`
  /// Called before the first step with what stops training; may be called from any thread, then.
  std::function<void(std::function<void()> stop)> started = {};
};

/// What a finished run says of itself; also in its summary.json.
struct PrfSummary {
  int64_t queries = 0, judged = 0;         ///< in the file; of these, with a relevant document
  std::vector<double> betas;               ///< share of the expansion, a fold
  std::map<std::string, double> map;       ///< mean average precision by method: first, rm3, bo1, qa4prf
  double seconds = 0, pairs_per_s = 0;     ///< all of it; query and document, read for learning
  int64_t parameters = 0, peak_bytes = 0;  ///< of one fold's networks; largest resident memory of the process
};

/// One experiment (`interplay help qa4prf`): queries are dealt out to folds by their ids and a seed; each fold has
/// networks of its own, which learn from the other folds, of which the next one is for early stopping and beta. So no
/// query's judgements reach the networks that expand it. Writes to `out` config.yaml, a folder a fold, the runs of all
/// queries by every method (first.run, rm3.run, bo1.run, qa4prf.run), metrics.jsonl, summary.json, report.html and
/// manifest.json. A run that was stopped or killed ends, resumed, with the bytes of one that was not, on one machine
/// with as many threads. Throws Error(config) naming file and key of what does not fit, Error(interrupted) after a
/// stop.
INTERPLAY_API PrfSummary train_qa4prf(const Config& experiment, const PrfRun& run);

/// A finished run as a maker of queries. A query of the run, by its text, is expanded by the networks of its fold,
/// which have not seen its judgements; any other by all folds', whose weights are averaged. One thread uses it.
class INTERPLAY_API QueryExpander {
 public:
  /// `index`: the run's own, or another one of the same analysis. `cache`: folder for vectors of terms that an encoder
  /// has made; empty = none. Throws Error(data) where the run is damaged or not finished, Error(config) where
  /// the index was analysed otherwise. Keeps a reference to the index.
  QueryExpander(const std::filesystem::path& run, const TextIndex& index, const std::filesystem::path& cache = {});
  ~QueryExpander();

  struct Expansion {
    WeightedTerms query;            ///< what the documents are ranked by (likelihood)
    std::vector<TermWeight> terms;  ///< the terms that were added, by falling weight; they sum to 1
    double beta = 0;                ///< their share
    bool of_run = false;            ///< by its fold alone
  };
  Expansion expand(const TextQuery& query);
  double mu() const;  ///< of the likelihood, in both retrievals

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace interplay
