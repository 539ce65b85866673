#include <interplay/systems/qa4prf.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <numeric>
#include <optional>

#include <ATen/ATen.h>
#include <nlohmann/json.hpp>

#include <interplay/base/error.h>
#include <interplay/base/files.h>
#include <interplay/base/log.h>
#include <interplay/base/progress.h>
#include <interplay/base/random.h>
#include <interplay/base/section.h>
#include <interplay/base/tasks.h>
#include <interplay/core/generators.h>
#include <interplay/core/model.h>
#include <interplay/systems/relevance.h>
#include <interplay/train/run.h>
#include <interplay/train/run_directory.h>

#include "systems/qa4prf/fold.h"
#include "systems/qa4prf/qa4prf_page.h"

namespace fs = std::filesystem;

namespace interplay {
namespace {

using namespace qa4prf;
using Json = nlohmann::ordered_json;

INTERPLAY_SECTION("qa4prf", Qa4PrfOptions, "the experiment of `interplay prf train`, as configs/qa4prf/cranfield.yaml");

constexpr const char* kConfigFile = "config.yaml";
constexpr const char* kQueriesFile = "queries.json";
constexpr uint64_t kFoldStream = 0;  // of random numbers; the readers have those from 1 on

std::string fold_name(int64_t fold) { return fmt::format("fold-{}", fold + 1); }

/// What a run knows a query by.
std::string key_of(const TextQuery& query) { return fmt::format("{:016x}", hash64(query.text)); }

Qa4PrfOptions read_experiment(const Config& experiment) {
  Qa4PrfOptions o;
  read_options(o, experiment, "an experiment of `interplay prf train`");
  const fs::path beside = fs::path(experiment.source()).parent_path();
  for (const auto& [name, value] : {std::pair{"index", &o.index}, {"queries", &o.queries}, {"qrels", &o.qrels}}) {
    if (value->empty()) experiment[name].fail("missing; see `interplay help qa4prf`");
    *value = fs::absolute(beside / *value).lexically_normal().string();
  }
  if (!o.reader && !o.lambdarank)
    experiment["lambdarank"].fail("is left out, and so is the reader; nothing is left that chooses terms");
  if (o.betas.empty()) experiment["betas"].fail("is empty; expected shares of the expansion to choose from");
  parse_grades(o.grades);
  return o;
}

std::vector<Ranked> named(const TextIndex& index, std::span<const Hit> hits) {
  std::vector<Ranked> out;
  for (const auto& hit : hits) out.push_back({std::string(index.document_id(hit.document)), hit.score});
  return out;
}

/// The weights by term of several expansions, averaged.
std::vector<TermWeight> averaged(const std::vector<std::vector<TermWeight>>& expansions, int64_t terms) {
  std::map<uint32_t, double> sum;
  for (const auto& expansion : expansions) {
    for (const auto& [term, weight] : expansion) sum[term] += weight / double(expansions.size());
  }
  WeightedTerms all;
  for (const auto& [term, weight] : sum) all.push_back({term, weight});
  auto best = best_terms(std::move(all), terms);
  double kept = 0;
  for (const auto& t : best) kept += t.weight;
  for (auto& t : best) t.weight /= kept;
  return best;
}

/// One run of `interplay prf train`.
class Experiment {
 public:
  Experiment(const Qa4PrfOptions& o, const PrfRun& run)
      : o_(o),
        run_(run),
        index_(o.index),
        queries_(read_queries(o.queries)),
        qrels_(Qrels::load(o.qrels, parse_grades(o.grades))),
        vectors_(index_, o.encoder, o.vector_width, {}) {
    deal_out();
    find_relevant();
  }

  PrfSummary run() {
    ask_all();
    find_lessons();
    PrfSummary summary;
    summary.queries = int64_t(queries_.size());
    summary.judged = int64_t(relevant_.size());
    std::vector<FoldReport> reports;
    std::vector<Networks> folds;
    const auto begun = std::chrono::steady_clock::now();
    for (int64_t f = 0; f < o_.folds; ++f) {
      folds.push_back(new_networks(f));
      reports.push_back(fold(f, folds.back()));
      summary.betas.push_back(reports.back().beta);
    }
    fs::remove_all(run_.out / kCheckpoint);
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count();
    summary.pairs_per_s = seconds > 0 ? double(pairs_read_) / seconds : 0;
    summary.parameters = parameter_count(*folds.front());
    rank_all(folds, reports, summary);
    write_metrics(reports);
    page_.options = write_options(o_).yaml();
    page_.reports = std::move(reports);
    return summary;
  }

  PrfPage& page() { return page_; }

 private:
  /// By their ids and the seed alone: neither the order of the file nor what is judged has a say.
  void deal_out() {
    std::vector<size_t> by_id(queries_.size());
    std::iota(by_id.begin(), by_id.end(), size_t(0));
    std::sort(by_id.begin(), by_id.end(), [&](size_t a, size_t b) { return queries_[a].id < queries_[b].id; });
    const Permutation order(queries_.size(), random_bits(uint64_t(o_.seed), kFoldStream, 0));
    fold_.resize(queries_.size());
    for (size_t i = 0; i < by_id.size(); ++i) fold_[by_id[i]] = int64_t(order.at(i)) % o_.folds;
  }

  void ask_all() {
    Progress progress("prf train: first retrieval", int64_t(queries_.size()), "queries");
    std::vector<Question> questions;
    for (const auto& query : queries_) {
      questions.push_back(ask(index_, query, o_.feedback));
      vectors_.add(words_of(questions.back()));
      progress.add(1);
    }
    for (auto& question : questions)
      readable_.push_back(readable(std::move(question), vectors_, o_.feedback.candidates));
    words_ = vectors_.words(o_.feedback.candidates);
  }

  void find_relevant() {
    for (size_t i = 0; i < queries_.size(); ++i) {
      const auto* const levels = qrels_.find(queries_[i].id);
      if (!levels) continue;
      for (const auto& [document, level] : *levels) {
        const auto place = index_.find_document(document);
        INTERPLAY_CHECK_DATA(place, "{}: document '{}' of query '{}' is not in {}", o_.qrels, document, queries_[i].id,
                             o_.index);
        relevant_[i].push_back(*place);
      }
    }
    INTERPLAY_CHECK_DATA(!relevant_.empty(), "{}: none of the queries of {} has a relevant document", o_.qrels,
                         o_.queries);
  }

  void find_lessons() {
    lessons_.resize(queries_.size());
    std::vector<size_t> judged;
    for (const auto& [i, relevant] : relevant_) {
      if (readable_[i].question.candidates.empty()) continue;
      judged.push_back(i);
      learnable_.emplace(i, Learnable{&readable_[i], &lessons_[i], relevant});
    }
    constexpr int64_t kAtOnce = 16;
    Progress progress("prf train: gains of candidates", int64_t(judged.size()), "queries");
    for (int64_t first = 0; first < int64_t(judged.size()); first += kAtOnce) {
      const int64_t some = std::min(kAtOnce, int64_t(judged.size()) - first);
      run_tasks(some, [&](int64_t n) {
        const size_t i = judged[size_t(first + n)];
        lessons_[i] = lesson_of(index_, readable_[i].question, relevant_.at(i), o_.feedback);
      });
      progress.add(some);
    }
  }

  Networks new_networks(int64_t f) {
    at::manual_seed(random_bits(uint64_t(o_.seed), kFoldStream, uint64_t(f) + 1));
    return Networks(vectors_.width(), o_);
  }

  FoldReport fold(int64_t f, Networks& networks) {
    const fs::path directory = run_.out / fold_name(f);
    if (fs::exists(directory)) return load_fold(directory, networks);
    FoldData data{f, {}, {}};
    for (const auto& [i, query] : learnable_) {
      if (fold_[i] == f) continue;
      (fold_[i] == (f + 1) % o_.folds ? data.held_out : data.train).push_back(query);
    }
    INTERPLAY_CHECK_DATA(
        !data.held_out.empty() && !data.train.empty(),
        "fold {}: {} judged queries to learn from, {} held out; expected some of each: take fewer folds", f + 1,
        data.train.size(), data.held_out.size());
    int64_t pairs = 0;
    for (const auto& query : data.train) pairs += int64_t(query.readable->readings.size());
    Progress progress(fmt::format("prf train: fold {} of {}", f + 1, o_.folds),
                      networks->reader ? pairs * o_.network.epochs : 0, "pairs");
    const Training training{index_,
                            vectors_,
                            words_,
                            o_,
                            run_.out,
                            [this] { return stop_->load(); },
                            [&](int64_t n) {
                              progress.add(n);
                              pairs_read_ += n;
                            }};
    const FoldReport report = learn_fold(networks, data, training);
    log::info("fold {}: beta {:g}, MAP of the held-out queries {:.4f}", f + 1, report.beta,
              *std::max_element(report.map.begin(), report.map.end()));
    save_fold(directory, networks, report);
    return report;
  }

  /// Rankings of all queries by every method, each query by the networks of its own fold.
  void rank_all(std::vector<Networks>& folds, const std::vector<FoldReport>& reports, PrfSummary& summary) {
    const FeedbackOptions classical{o_.feedback.documents, o_.terms};
    const std::vector<std::string> methods{"first", "rm3", "bo1", "qa4prf"};
    std::map<std::string, std::string> runs;
    std::map<std::string, std::vector<double>> precision;  // of judged queries
    Progress progress("prf train: rankings", int64_t(queries_.size()), "queries");
    for (size_t i = 0; i < queries_.size(); ++i) {
      const auto& q = readable_[i].question;
      const auto f = size_t(fold_[i]);
      const auto scores = folds[f]->scores(words_, vectors_, readable_[i]);
      const auto expansion = expansion_of(q, scores, o_.terms);
      const auto judged = learnable_.find(i);
      for (const auto& method : methods) {
        const WeightedTerms query = method == "first" || q.feedback.empty() ? q.terms
                                    : method == "rm3" ? rm3_query(index_, q.terms, q.feedback, classical, q.length)
                                    : method == "bo1" ? bo1_query(index_, q.terms, q.feedback, classical)
                                                      : mixed_query(q.terms, expansion, reports[f].beta, q.length);
        const auto found = best_documents(likelihood_scores(index_, query, o_.feedback.mu), o_.depth);
        const auto ranking = named(index_, found);
        runs[method] += run_lines(q.query.id, ranking, method);
        if (const auto* const levels = qrels_.find(q.query.id))
          precision[method].push_back(judge(ranking, *levels).average_precision);
      }
      if (judged != learnable_.end()) page_.add(index_, q, expansion, lessons_[i], precision);
      progress.add(1);
    }
    for (const auto& method : methods) {
      write_file(run_.out / (method + ".run"), runs[method]);
      const auto& values = precision[method];
      summary.map[method] =
          values.empty() ? 0 : std::accumulate(values.begin(), values.end(), 0.) / double(values.size());
    }
    page_.precision = std::move(precision);
    Json known = Json::object();
    for (size_t i = 0; i < queries_.size(); ++i) known[key_of(queries_[i])] = fold_[i];
    write_file(run_.out / kQueriesFile, known.dump(1) + "\n");
  }

  void write_metrics(const std::vector<FoldReport>& reports) const {
    std::string lines;
    for (size_t f = 0; f < reports.size(); ++f) {
      Json line = json_of(reports[f]);
      lines += Json{{"fold", f + 1}, {"report", line}}.dump() + "\n";
    }
    write_file(run_.out / "metrics.jsonl", lines);
  }

 public:
  std::function<void()> stopper() const {
    return [stop = stop_] { stop->store(true); };
  }

 private:
  Qa4PrfOptions o_;
  PrfRun run_;
  TextIndex index_;
  std::vector<TextQuery> queries_;
  Qrels qrels_;
  WordVectors vectors_;
  Words words_;
  std::vector<int64_t> fold_;                         // of each query
  std::vector<Readable> readable_;                    // likewise
  std::vector<Lesson> lessons_;                       // likewise; empty where nothing is judged
  std::map<size_t, std::vector<uint32_t>> relevant_;  // of queries with judgements: places of documents
  std::map<size_t, Learnable> learnable_;             // those of them that have candidates
  PrfPage page_;
  int64_t pairs_read_ = 0;
  std::shared_ptr<std::atomic<bool>> stop_ = std::make_shared<std::atomic<bool>>(false);
};

void write_summary(const fs::path& file, const PrfSummary& s) {
  const Json json{{"queries", s.queries}, {"judged", s.judged},         {"betas", s.betas},
                  {"map", s.map},         {"parameters", s.parameters}, {"pairs_per_s", s.pairs_per_s},
                  {"seconds", s.seconds}, {"peak_bytes", s.peak_bytes}};
  write_file(file, json.dump(1) + "\n");
}

/// A run that is begun anew, or gone on with where its experiment is the same.
DirectoryLock open_run(const Config& config, const PrfRun& run) {
  auto lock = lock_directory(run.out, run.resume, "run", "a run; give another --out, or --resume to go on with it");
  const fs::path file = run.out / kConfigFile;
  if (run.resume) {
    const std::string key = first_difference(config, Config::load(file));
    INTERPLAY_CHECK(key.empty(), "{}: was begun with another `{}`; resume it with its own experiment, {}",
                    run.out.string(), key, file.string());
    INTERPLAY_CHECK(!fs::exists(run.out / "manifest.json"), "{}: is finished; there is nothing to resume",
                    run.out.string());
  } else {
    write_file(file, config.yaml());
  }
  return lock;
}

}  // namespace

PrfSummary train_qa4prf(const Config& experiment, const PrfRun& run) {
  const auto begun = std::chrono::steady_clock::now();
  const Qa4PrfOptions o = read_experiment(experiment);
  const KeptGenerators kept;
  Experiment made(o, run);
  const DirectoryLock lock = open_run(write_options(o), run);
  const log::File log_file(run.out / "train.log");
  if (run.started) run.started(made.stopper());
  PrfSummary summary = made.run();
  summary.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count();
  summary.peak_bytes = peak_memory_bytes();
  write_summary(run.out / "summary.json", summary);
  write_file(run.out / "report.html", prf_page(made.page(), summary));
  Manifest::describe(run.out, {}, [](const std::string& name) {
    return !name.ends_with(".log") && !name.starts_with(".");
  }).save(run.out);
  return summary;
}

struct QueryExpander::State {
  State(const fs::path& run, const TextIndex& on, const fs::path& cache) : index(on), folder(run) {
    const fs::path config = run / kConfigFile;
    INTERPLAY_CHECK_DATA(fs::exists(config) && fs::exists(run / "manifest.json"),
                         "{}: is no finished run of `interplay prf train`; expected {} and manifest.json", run.string(),
                         kConfigFile);
    Manifest::load(run).check(run, /*contents=*/true);
    read_options(o, Config::load(config), "a run of `interplay prf train`");
    vectors.emplace(index, o.encoder, o.vector_width, cache);
    for (int64_t f = 0; f < o.folds; ++f) {
      folds.emplace_back(vectors->width(), o);
      betas.push_back(load_fold(run / fold_name(f), folds.back()).beta);
    }
    const fs::path file = run / kQueriesFile;
    try {
      const Json folds_of = Json::parse(read_file(file));
      for (const auto& [key, fold] : folds_of.items()) {
        INTERPLAY_CHECK_DATA(fold.get<int64_t>() >= 0 && fold.get<int64_t>() < o.folds, "{}: names fold {} of {}",
                             file.string(), fold.dump(), o.folds);
        known[key] = fold.get<int64_t>();
      }
    } catch (const nlohmann::json::exception& problem) {
      throw Error(fmt::format("{}: {}; expected what `interplay prf train` writes", file.string(), problem.what()),
                  ErrorKind::data);
    }
  }

  const TextIndex& index;
  fs::path folder;
  Qa4PrfOptions o;
  std::optional<WordVectors> vectors;
  std::vector<Networks> folds;
  std::vector<double> betas;
  std::map<std::string, int64_t> known;
};

QueryExpander::QueryExpander(const fs::path& run, const TextIndex& index, const fs::path& cache)
    : state_(std::make_unique<State>(run, index, cache)) {}

QueryExpander::~QueryExpander() = default;

double QueryExpander::mu() const { return state_->o.feedback.mu; }

QueryExpander::Expansion QueryExpander::expand(const TextQuery& query) {
  State& s = *state_;
  Question question = ask(s.index, query, s.o.feedback);
  Expansion out;
  out.query = question.terms;
  if (question.candidates.empty()) return out;
  s.vectors->add(words_of(question));
  const Words words = s.vectors->words(s.o.feedback.candidates);
  const Readable r = readable(std::move(question), *s.vectors, s.o.feedback.candidates);
  const auto by_fold = [&](int64_t f) {
    return expansion_of(r.question, s.folds[size_t(f)]->scores(words, *s.vectors, r), s.o.terms);
  };
  const auto known = s.known.find(key_of(query));
  out.of_run = known != s.known.end();
  if (out.of_run) {
    out.terms = by_fold(known->second);
    out.beta = s.betas[size_t(known->second)];
  } else {
    std::vector<std::vector<TermWeight>> all;
    for (int64_t f = 0; f < s.o.folds; ++f) {
      all.push_back(by_fold(f));
      out.beta += s.betas[size_t(f)] / double(s.o.folds);
    }
    out.terms = averaged(all, s.o.terms);
  }
  out.query = mixed_query(r.question.terms, out.terms, out.beta, r.question.length);
  return out;
}

}  // namespace interplay
