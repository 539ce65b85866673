// interplay prf search IDX --queries F: ranked documents of each query, as TREC's run files have them.
#include <chrono>
#include <optional>
#include <span>

#include <interplay/base/files.h>
#include <interplay/base/log.h>
#include <interplay/base/progress.h>
#include <interplay/base/tasks.h>
#include <interplay/systems/qa4prf.h>
#include <interplay/systems/relevance.h>
#include <interplay/systems/text_search.h>

#include "command.h"

namespace interplay::tool::prf_search_command {
namespace {

struct Arguments {
  std::string index, queries, method = "bm25", model, out, tag, expanded, cache;
  Bm25Options bm25;
  FeedbackOptions feedback;
  double mu = 500;
  int64_t depth = 1000;
};

/// What is printed of a query.
struct Answer {
  std::string run, expanded;
};

class Search {
 public:
  explicit Search(const Arguments& a) : a_(a), index_(a.index) {
    INTERPLAY_CHECK((a.method == "qa4prf") == !a.model.empty(), "{}",
                    a.model.empty() ? "--method qa4prf takes --model RUN: what `interplay prf train` wrote"
                                    : "--model is for --method qa4prf alone");
    if (!a.model.empty()) expander_ = std::make_unique<QueryExpander>(a.model, index_, a.cache);
  }

  std::vector<Answer> answers(std::span<const TextQuery> queries) {
    std::vector<WeightedTerms> terms;  // an analyzer is one thread's, and so is an expander
    std::vector<double> lengths;
    for (const auto& query : queries) {
      terms.push_back(query_terms(index_, query.text));
      lengths.push_back(query_length(index_, query.text));
      if (terms.back().empty()) log::warning("query {}: none of its words is in the index", query.id);
      if (expander_) terms.back() = expander_->expand(query).query;
    }
    std::vector<Answer> out(queries.size());
    run_tasks(int64_t(queries.size()),
              [&](int64_t i) { out[size_t(i)] = answer(queries[size_t(i)].id, terms[size_t(i)], lengths[size_t(i)]); });
    return out;
  }

 private:
  Answer answer(const std::string& id, const WeightedTerms& terms, double length) const {
    const WeightedTerms query = with_feedback(terms, length);
    const auto scores = a_.method == "bm25" ? bm25_scores(index_, query, a_.bm25)
                                            : likelihood_scores(index_, query, expander_ ? expander_->mu() : a_.mu);
    std::vector<Ranked> ranking;
    for (const auto& hit : best_documents(scores, a_.depth))
      ranking.push_back({std::string(index_.document_id(hit.document)), hit.score});
    Answer out{run_lines(id, ranking, a_.tag.empty() ? a_.method : a_.tag), ""};
    if (a_.expanded.empty()) return out;
    for (const auto& t : best_terms(query, 0)) {
      if (t.weight > 0) out.expanded += fmt::format("{}\t{}\t{:.9f}\n", id, index_.term(t.term), t.weight);
    }
    return out;
  }

  WeightedTerms with_feedback(const WeightedTerms& terms, double length) const {
    if (a_.method != "rm3" && a_.method != "bo1") return terms;
    const auto feedback = best_documents(likelihood_scores(index_, terms, a_.mu), a_.feedback.documents);
    return a_.method == "rm3" ? rm3_query(index_, terms, feedback, a_.feedback, length)
                              : bo1_query(index_, terms, feedback, a_.feedback);
  }

  const Arguments& a_;
  TextIndex index_;
  std::unique_ptr<QueryExpander> expander_;
};

/// To a file, whole or not at all, or to standard output.
class Output {
 public:
  explicit Output(const std::string& file) {
    if (!file.empty()) file_.emplace(file);
  }
  void write(const std::string& text) { file_ ? file_->out().write(text) : void(fmt::print("{}", text)); }
  void close() {
    if (file_) file_->commit();
  }

 private:
  std::optional<NewFile> file_;
};

void run(const Arguments& a) {
  constexpr size_t kAtOnce = 64;  // queries, whose answers are held
  Search search(a);
  const auto queries = read_queries(a.queries);
  Output out(a.out);
  std::optional<Output> expanded;
  if (!a.expanded.empty()) expanded.emplace(a.expanded);
  const auto begun = std::chrono::steady_clock::now();
  {
    Progress progress("prf search", int64_t(queries.size()), "queries");
    for (size_t first = 0; first < queries.size(); first += kAtOnce) {
      const size_t some = std::min(kAtOnce, queries.size() - first);
      for (const Answer& answer : search.answers(std::span(queries).subspan(first, some))) {
        out.write(answer.run);
        if (expanded) expanded->write(answer.expanded);
      }
      progress.add(int64_t(some));
    }
  }
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count();
  out.close();
  if (expanded) expanded->close();
  log::info("{} quer{}, {} queries/s", queries.size(), queries.size() == 1 ? "y" : "ies",
            human_count(double(queries.size()) / seconds));
}

std::function<void()> add(CLI::App& app) {
  auto a = std::make_shared<Arguments>();
  app.add_option("IDX", a->index, "directory that `interplay prf index` wrote")->required();
  app.add_option("--queries", a->queries, "a line a query: id, tab, text")->required();
  app.add_option("--method", a->method,
                 "bm25, ql (query likelihood), or ql with the terms that its first documents suggest: rm3, bo1, qa4prf")
      ->check(CLI::IsMember({"bm25", "ql", "rm3", "bo1", "qa4prf"}))
      ->capture_default_str();
  app.add_option("--model", a->model, "run of `interplay prf train`, for qa4prf");
  app.add_option("--out", a->out, "file of the run, query by query; standard output by default");
  app.add_option("--expanded", a->expanded, "file of what documents were ranked by: query, term, weight");
  app.add_option("--depth", a->depth, "documents a query; 0: all of them")->check(at_least(0))->capture_default_str();
  app.add_option("--tag", a->tag, "name of the run in its last column; by default the method");
  const auto number = [&](const char* name, double& value, const char* what, double low, double high) {
    app.add_option(name, value, what)->check(CLI::Range(low, high))->capture_default_str();
  };
  number("--k1", a->bm25.k1, "of bm25: how slowly repeated terms saturate", 0, 1000);
  number("--b", a->bm25.b, "of bm25: how far long documents count less", 0, 1);
  number("--mu", a->mu, "of the likelihood: how far a document's words are smoothed by the collection's", 1e-6, 1e9);
  app.add_option("--documents", a->feedback.documents, "first documents that rm3 and bo1 take terms of")
      ->check(at_least(1))
      ->capture_default_str();
  app.add_option("--terms", a->feedback.terms, "how many terms")->check(at_least(1))->capture_default_str();
  number("--mix", a->feedback.mix, "of rm3: share of these terms in the new query", 0, 1);
  app.add_option("--cache", a->cache, "of qa4prf: folder of vectors that its encoder has made; new ones are added");
  return [a] { run(*a); };
}

const AddCommand command("prf search", "ranked documents of queries, as TREC's run files", add);

}  // namespace
}  // namespace interplay::tool::prf_search_command
