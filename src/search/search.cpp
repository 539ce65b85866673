#include <interplay/search/search.h>

#include <algorithm>

#include <interplay/base/files.h>
#include <interplay/base/log.h>
#include <interplay/core/bundle.h>
#include <interplay/core/model.h>
#include <interplay/data/dataset.h>
#include <interplay/train/run_directory.h>

#include "search/gates.h"
#include "search/search_files.h"

namespace fs = std::filesystem;

namespace interplay {
namespace {

constexpr const char* kManifest = "manifest.json";
constexpr const char *kGates = "gates.jsonl", *kDimensionGates = "dimension_gates.jsonl", *kCurves = "curves.json";
constexpr int64_t kReadings = 100;  // of the gates in a stage: as many points as a curve can show

/// Refuses a directory that cannot be begun or gone on with, or that another process writes, before anything in it is
/// touched.
DirectoryLock open_directory(const Config& resolved, const SearchOptions& options) {
  const fs::path& out = options.out;
  DirectoryLock lock = lock_directory(out, options.resume, "search",
                                      "a search or a run; give another --out, or --resume to go on with it");
  if (!options.resume) return lock;
  Config before = Config::load(out / Bundle::kConfig), now = resolved;
  INTERPLAY_CHECK(before.has("search"), "{}: holds a run, not a search; give the directory of a search", out.string());
  for (Config* c : {&before, &now}) {
    c->erase("threads");
    c->erase("data");
  }
  const std::string difference = first_difference(before, now);
  INTERPLAY_CHECK(difference.empty(),
                  "{}: {} differs from the search's config.yaml; only threads may change on --resume", out.string(),
                  difference);
  fs::remove(out / kManifest);  // until it is finished anew
  return lock;
}

/// Steps between two readings of the gates. A stage that ends when valid says so is read as if it ended after a tenth
/// of the epochs that it may last.
int64_t reading_every(const Config& experiment, int64_t train_rows) {
  TrainOptions train;
  read_options(train, experiment["train"]);
  const int64_t steps = train.epochs * steps_per_epoch(experiment, train_rows) / kReadings;
  return train.patience > 0 ? steps / 10 : steps;
}

}  // namespace

struct SearchRun::State {
  Config experiment, config;  // without and with `search:`; config has every default written out
  std::string search;         // its name
  SearchOptions options;
  Schema schema;
  int64_t train_rows = 0;
  std::vector<StageResult> stages;
  SearchFindings findings;

  void write() const {
    std::vector<KeptCurve> curves;
    for (const auto& s : stages) {
      for (auto& c : read_curves(options.out / s.directory / kCurves)) c.stage = s.name, curves.push_back(std::move(c));
    }
    const auto json = search_json(search, options.data.string(), findings, stages, curves);
    std::vector<StageCourse> courses;
    for (const auto& s : stages) {
      for (const std::string gates : {"interactions", "dimensions"}) {
        auto course = read_course(options.out / s.directory / (gates == "interactions" ? kGates : kDimensionGates));
        if (course.names.empty() || course.thresholds.empty()) continue;
        double threshold = course.thresholds.back();
        for (const auto& g : findings.grda) {
          if (g.stage == s.name && g.gates == gates) threshold = g.threshold;
        }
        const auto is_its = [&](const KeptCurve& c) { return c.stage == s.name && c.gates == gates; };
        const auto chosen = std::find_if(curves.begin(), curves.end(), is_its);
        courses.push_back({s.name, gates, std::move(course), threshold, {}});
        if (chosen != curves.end())
          courses.back().kept.emplace(chosen->ranking.begin(), chosen->ranking.begin() + chosen->chosen);
      }
    }
    Config retrain = findings.retrain;
    retrain.erase("threads");  // of the machine, not of what was found
    write_file(options.out / "retrain.yaml", retrain.yaml());
    write_file(options.out / "search.json", json.dump(1) + "\n");
    write_file(options.out / "search.html", search_html(json, config.yaml(), courses));
  }
};

SearchRun::SearchRun(State& state) : state_(state) {}
Search::~Search() = default;
void Search::check(const SearchRun&) const {}

const Config& SearchRun::experiment() const { return state_.experiment; }
const Schema& SearchRun::schema() const { return state_.schema; }
const fs::path& SearchRun::data() const { return state_.options.data; }
int64_t SearchRun::train_rows() const { return state_.train_rows; }
fs::path SearchRun::directory(const StageResult& stage) const { return state_.options.out / stage.directory; }

std::vector<KeptCurve> SearchRun::curves(const StageResult& stage) const {
  auto curves = read_curves(directory(stage) / kCurves);
  for (auto& c : curves) c.stage = stage.name;
  return curves;
}

StageResult SearchRun::stage(const SearchStage& stage) {
  State& s = state_;
  const std::string directory = fmt::format("stages/{}-{}", s.stages.size() + 1, stage.name);
  const fs::path out = s.options.out / directory;
  if (fs::exists(out / kManifest)) {
    log::info("stage {}: done before", stage.name);
  } else {
    log::info("stage {}", stage.name);
    RunOptions run;
    run.data = s.options.data, run.out = out, run.test = s.options.test;
    run.resume = fs::exists(out / Bundle::kConfig);
    const int64_t every = reading_every(stage.experiment, s.train_rows);
    std::vector<GateLog> logs;
    if (stage.read_gates) logs.emplace_back(out / kGates, every, stage.read_gates);
    if (stage.read_dimension_gates) logs.emplace_back(out / kDimensionGates, every, stage.read_dimension_gates);
    run.started = [&](Trainer& trainer) {
      if (stage.started) stage.started(trainer);
      for (auto& log : logs) log.started(trainer);
      trainer.stepper().after_step([&](const StepReport& s) {
        for (auto& log : logs) log.stepped(trainer, s.step);
      });
      if (s.options.started) s.options.started(trainer);
    };
    run.finished = [&](Trainer& trainer) {
      if (stage.choose) write_curves(out / kCurves, stage.choose(trainer));
      if (s.options.finished) s.options.finished(trainer);
      for (auto& log : logs) log.finished(trainer);
      if (stage.finished) stage.finished(trainer);
    };
    train_run(stage.experiment, run);
  }
  StageResult result = read_stage(s.options.out, directory);
  result.name = stage.name;
  s.stages.push_back(result);
  if (!s.findings.retrain.keys().empty()) s.write();
  return result;
}

void SearchRun::found(SearchFindings findings) {
  state_.findings = std::move(findings);
  state_.write();
}

Registry<Search>& searches() {
  static auto* const registry = new Registry<Search>("search");
  return *registry;
}

SearchSummary search_run(const Config& experiment, const SearchOptions& options) {
  if (!experiment.has("search")) {
    throw Error(
        fmt::format("{}: the experiment has no `search:`; expected which, as in `search: {{name: autofis}}` "
                    "(searches: {})",
                    experiment.source(), fmt::join(searches().names(), ", ")));
  }
  SearchRun::State state;
  state.experiment = experiment;
  state.experiment.erase("search");
  state.config = resolve_experiment(experiment);
  const Config resolved = searches().resolve(experiment["search"]);
  state.config.set("search", resolved);
  state.config.set("data", Config::scalar(options.data.string(), true));
  state.search = resolved["name"].as<std::string>();
  state.options = options;
  state.schema = read_schema(options.data, experiment["fields"]);
  state.train_rows = Dataset::open(options.data, "train").rows();
  const auto search = searches().make(experiment["search"]);
  SearchRun run(state);
  INTERPLAY_CHECK_DATA(state.schema.fields().size() > 1,
                       "{}: one field has no pairs to search; a search needs two fields or more (fields: {})",
                       options.data.string(), state.schema.fields().empty() ? "" : state.schema.fields()[0].name);
  search->check(run);
  const DirectoryLock lock = open_directory(state.config, options);
  make_directories(options.out / "stages");
  write_file(options.out / Bundle::kConfig, state.config.yaml());
  const log::File log_file(options.out / "search.log");
  search->run(run);
  finish_directory(options.out, "stages");
  return {std::move(state.findings), std::move(state.stages)};
}

Config read_interactions(const fs::path& file) {
  const Config from = Config::load(file);
  const bool experiment = from.is_map() && from["model"].is_map() && from["model"].has("interactions");
  INTERPLAY_CHECK(experiment || (from.is_map() && from.has("interactions")),
                  "{}: has no list of interactions; expected a search.json, or an experiment with model.interactions",
                  file.string());
  std::vector<Config> sets;
  for (const Config& i : (experiment ? from["model"] : from)["interactions"].items()) {
    if (i.is_map() && !i.get<bool>("kept", true)) continue;
    const Config fields = i.is_map() ? i["fields"] : i;
    if (std::find(sets.begin(), sets.end(), fields) == sets.end()) sets.push_back(fields);  // under several functions
  }
  INTERPLAY_CHECK(!sets.empty(), "{}: keeps no interaction at all", file.string());
  return Config::sequence(std::move(sets));
}

}  // namespace interplay
