#include <interplay/train/run.h>

#include <chrono>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <map>
#include <string_view>

#include <ATen/Parallel.h>
#include <nlohmann/json.hpp>

#include <interplay/base/files.h>
#include <interplay/base/log.h>
#include <interplay/base/progress.h>
#include <interplay/core/bundle.h>
#include <interplay/core/calibration.h>
#include <interplay/core/generators.h>
#include <interplay/core/objective.h>
#include <interplay/core/ranking_metric.h>
#include <interplay/core/warm_start.h>
#include <interplay/data/field_values.h>
#include <interplay/data/loader.h>
#include <interplay/data/row_facts.h>
#include <interplay/data/vector_book.h>
#include <interplay/train/evaluator.h>
#include <interplay/train/report.h>
#include <interplay/train/run_directory.h>
#include <interplay/train/term_means.h>
#include <interplay/train/tracker.h>

#include "train/guard.h"
#include "train/live_report.h"
#include "train/run_report.h"
#include "train/wanted_metrics.h"

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

namespace interplay {
namespace {

constexpr const char* kManifest = "manifest.json";

/// Refuses a directory that cannot be begun or gone on with, or that another process writes, before anything in it is
/// touched.
DirectoryLock open_directory(const Config& resolved, const Schema& schema, const RunOptions& options) {
  const fs::path& out = options.out;
  DirectoryLock lock = lock_directory(out, options.resume, "run",
                                      "a run; give another --out, --resume to go on with it, or --force to replace it");
  if (!options.resume) return lock;
  const bool finished = fs::exists(out / kManifest);
  if (finished) Manifest::load(out).check(out, /*contents=*/true);
  INTERPLAY_CHECK_DATA(
      !fs::exists(out / Bundle::kSchema) || Schema::load(out / Bundle::kSchema).fingerprint() == schema.fingerprint(),
      "{}: not the data that {} was begun with: fields or vocabularies differ; resume with those of the run",
      options.data.string(), out.string());
  if (schema.vectors && fs::exists(out / Bundle::kSchema)) {
    const std::string changed = schema.vectors->difference(*Schema::load(out / Bundle::kSchema).vectors);
    INTERPLAY_CHECK_DATA(changed.empty(), "{}: not the vectors that {} was begun with; resume with those", changed,
                         out.string());
  }
  Config before = Config::load(out / Bundle::kConfig), now = resolved;
  for (Config* c : {&before, &now}) {  // what may change without changing what was learned so far
    c->erase("threads");
    c->erase("data");
    c->erase("init");
    c->erase("tracking");
    Config train = (*c)["train"];
    train.erase("epochs");
    c->set("train", train);
  }
  const std::string difference = first_difference(before, now);
  INTERPLAY_CHECK(difference.empty(),
                  "{}: {} differs from the run's config.yaml; only train.epochs, threads and tracking may change on "
                  "--resume; begin anew with another --out, or in this one with --force",
                  out.string(), difference);
  if (finished) fs::remove(out / kManifest);                           // until it is finished anew
  for (const char* file : {Calibration::kPage, Calibration::kFile}) {  // of weights that will be others
    if (fs::remove(out / file) && file == Calibration::kFile)
      log::warning("{}: taken away, since training goes on; calibrate the run anew", (out / file).string());
  }
  return lock;
}

/// Of the training rows, what share of each field's values has no row of its own: a server's rows are held against it.
Json unknown_shares(const Dataset& rows) {
  constexpr int64_t kRows = 1000000;
  const auto counts = count_values(rows, kRows);
  Json out = Json::object();
  for (size_t f = 0; f < counts.size(); ++f) {
    if (counts[f].values > 0) out[rows.schema().fields()[f].name] = counts[f].share();
  }
  return out;
}

void write_summary(const fs::path& out, const RunSummary& s, const Dataset& train,
                   const std::map<std::string, std::string>& not_scored) {
  Json json{{"parameters", s.parameters},
            {"steps", s.fit.steps},
            {"best_epoch", s.fit.best >= 0 ? s.fit.evaluations[size_t(s.fit.best)].epoch : -1},
            {"epochs", s.fit.evaluations.empty() ? 0 : s.fit.evaluations.back().epoch},
            {"stopped_by", s.fit.stopped_by},
            {"rows_per_s", s.fit.rows_per_s < 100 ? s.fit.rows_per_s : std::round(s.fit.rows_per_s)},
            {"train_seconds", s.fit.seconds},
            {"seconds", s.seconds},
            {"peak_bytes", s.peak_bytes},
            {"valid", to_json(s.valid)},
            {"test", to_json(s.test)}};
  if (s.fit.tokens_per_s > 0) json["tokens_per_s"] = std::round(s.fit.tokens_per_s);
  if (!not_scored.empty()) json["not_scored"] = not_scored;
  json["unknown"] = unknown_shares(train);
  write_file(out / "summary.json", json.dump(1) + "\n");
}

}  // namespace

int64_t peak_memory_bytes() {
  // Not getrusage(): its figure is at least what the process had that started this one.
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    constexpr std::string_view kKey = "VmHWM:";
    if (line.starts_with(kKey)) return std::strtoll(line.c_str() + kKey.size(), nullptr, 10) * 1024;
  }
  return 0;
}

namespace {

struct Splits {
  Dataset train;
  std::optional<Dataset> valid, test;
};

Splits open_splits(const fs::path& data, const Schema& schema) {
  const auto open = [&](const char* split) { return Dataset::open(data, split).select(schema); };
  Splits splits{open("train"), {}, {}};
  if (Dataset::exists(data, "valid")) splits.valid = open("valid");
  if (Dataset::exists(data, "test")) splits.test = open("test");
  return splits;
}

/// What is monitored must mean something on the validation rows (gAUC needs groups, AUC both classes): told before
/// training, not after its first epoch.
void check_monitor(const Dataset& valid, const TrainOptions& t) {
  std::vector<Config> names;
  for (const auto& monitored : monitored_names(t.monitor)) {
    const MonitoredName name = parse_monitored(monitored);
    if (name.is_term() || is_ranking_metric(name.metric)) return;  // of what the model gives: training will tell
    names.push_back(Config::scalar(name.metric, true));
  }
  RowFacts facts = row_facts(valid);
  Predictions rows{.label = std::move(facts.label), .weight = std::move(facts.weight), .group = std::move(facts.group)};
  rows.labels = int64_t(valid.schema().labels().size());
  rows.logit.assign(rows.label.size(), 0);
  monitor_value(evaluate(rows, Config::sequence(names), valid.schema().labels()), t.monitor);
}

/// Of metrics by label, those of one, under their own names.
std::vector<MetricValue> of_label(const std::vector<MetricValue>& values, const std::string& label) {
  std::vector<MetricValue> out;
  for (auto v : values) {
    const std::string suffix = ":" + label;
    if (!v.name.ends_with(suffix)) continue;
    v.name.resize(v.name.size() - suffix.size());
    v.display.resize(v.display.size() - suffix.size());
    out.push_back(std::move(v));
  }
  return out;
}

/// By what a finished run is told: the usual metrics, and what `train.metrics` names beside them, with its options.
Config closing_metrics(const WantedMetrics& asked, bool groups) {
  std::vector<Config> out;
  for (const auto& metric : {"auc", "logloss", "gauc", "ne", "calibration", "pr_auc", "rmse"}) {
    if (groups || metric != std::string("gauc")) out.push_back(Config::scalar(metric, true));
  }
  for (const auto& metric : asked.of_rows.items()) {
    const auto usual =
        std::find_if(out.begin(), out.end(), [&](const auto& m) { return name_in(m) == name_in(metric); });
    usual == out.end() ? out.push_back(metric) : void(*usual = metric);
  }
  return Config::sequence(out);
}

struct JudgedSplit {
  const char* name;
  const Dataset& rows;
  const Dataset& train;
  std::function<void()> before_batch;  ///< may throw
};

/// The best weights on one split; its part of the report goes to `report`.
std::vector<MetricValue> judge(Model& model, const JudgedSplit& split, const TrainOptions& t, RunReport& report) {
  const auto& [name, dataset, train, before_batch] = split;
  const auto& labels = dataset.schema().labels();
  const Objective objective(t.loss, t.terms, labels);
  TermMeans terms(objective, at::Device(t.device));
  PredictOptions how{t.eval_batch_size,
                     at::Device(t.device),
                     negative_offsets(t.negative_rate, t.negative_label, labels),
                     nn::Precision::fp32,
                     name,
                     before_batch};
  how.each = [&](const Output& out, const Batch& batch) {
    if (!out.logit.defined()) terms.add(out, batch);
  };
  const Predictions p = predict(model, dataset, how);
  if (p.logit.empty()) {  // pre-trained: nothing to score rows by yet, but what it has learnt instead
    auto values = terms.values();
    log::record(fmt::format("{} {}", name, metrics_line(values)));
    report.facts.emplace_back(name, metrics_line(values));
    return values;
  }
  const WantedMetrics asked(t);
  auto values = evaluate(p, closing_metrics(asked, !p.group.empty()), labels);
  if (const auto& of_catalogue = asked.of_catalogue; !of_catalogue.empty()) {
    const auto found =
        evaluate_retrieval(model, dataset, train, of_catalogue, t.retrieval, t.eval_batch_size, before_batch);
    values.insert(values.end(), found.begin(), found.end());
  }
  log::record(fmt::format("{} {}", name, metrics_line(values)));
  for (int64_t l = 0; l < p.labels; ++l) {
    const auto rows = p.of_label(l);
    const std::string label = labels[size_t(l)];
    report.splits.push_back(p.labels == 1
                                ? report_split(name, *rows, values)
                                : report_split(fmt::format("{}, {}", name, label), *rows, of_label(values, label)));
  }
  return values;
}

/// Rows of the splits, as far as they can be told without what prepare counted.
std::vector<SplitCounts> plain_counts(const Splits& splits) {
  std::vector<SplitCounts> out;
  const auto add = [&](const char* name, const Dataset& rows) {
    out.emplace_back().split = name;
    out.back().rows = rows.rows();
  };
  add("train", splits.train);
  if (splits.valid) add("valid", *splits.valid);
  if (splits.test) add("test", *splits.test);
  return out;
}

/// Whether the model has a logit for each label: told before there is a run, not at its first step.
void check_labels(Model& model, const Dataset& rows, at::Device device) {
  if (rows.rows() == 0) return;
  const at::NoGradGuard no_grad;
  const KeptGenerators kept;
  const Batch batch = rows.slice(0, std::min<int64_t>(2, rows.rows())).to(device);
  model.eval();
  const auto logit = model.forward(batch.features).logit;
  if (logit.defined()) check_logit_shape(logit, batch.labels);
}

/// What a run's scores rely on and no type can say. A layer that is not registered trains and scores here, but is drawn
/// anew wherever the run is loaded; and there a row comes alone, or beside other rows.
void check_reload(Model& model, const fs::path& run, const Dataset& rows, const TrainOptions& options, uint64_t seed) {
  const at::NoGradGuard no_grad;
  const at::Device device(options.device);
  const Features x = rows.slice(0, std::min<int64_t>(64, rows.rows())).features.to(device);
  const auto again = Bundle::open(run).model(seed + 1);
  move_model(*again, device);
  model.eval();
  const auto own = model.forward(x).logit, loaded = again->forward(x).logit;
  if (!own.defined()) return;
  INTERPLAY_CHECK(at::allclose(own, loaded, 1e-4, 1e-5),
                  "{}: the model scores differently once it is loaded from {} (logits differ by up to {:.3g}); does it "
                  "register every layer, table and parameter (register_module, register_parameter)?",
                  run.string(), Bundle::kWeights, (own - loaded).abs().max().item<double>());
  const auto first = model.forward(rows.slice(0, 1).features.to(device)).logit;
  // A batch of another size is multiplied by other kernels, whose last bits differ: in a deep model with bf16 factors
  // (a language model's, which may be stored as such) by several times their spacing, 2^-8.
  const bool exact = nn::parse_precision(options.precision) == nn::Precision::fp32;
  INTERPLAY_CHECK(
      at::allclose(first, own.slice(0, 0, 1), exact ? 1e-3 : 0x1p-5, exact ? 1e-4 : 0x1p-5),
      "{}: the model scores a row differently alone and beside {} others (logits differ by {:.3g}); in eval "
      "mode a logit must depend on its own row only (is_training() tells)",
      run.string(), own.size(0) - 1, (first - own.slice(0, 0, 1)).abs().max().item<double>());
}

RunSummary train_tracked(const Config& experiment, const RunOptions& options, Tracking& tracking) {
  const auto begun = std::chrono::steady_clock::now();
  Config config = resolve_experiment(experiment);
  config.set("data", Config::scalar(options.data.string(), true));
  const Schema schema = read_schema(options.data, config["fields"]);
  const Splits splits = open_splits(options.data, schema);
  const auto rows = [](const std::optional<Dataset>& d) { return d ? d->rows() : 0; };

  const KeptGenerators kept;  // the run draws its first weights and, after them, all else from a generator of its own
  at::manual_seed(uint64_t(config["seed"].as<int64_t>()));
  const auto model = models().make(schema, config["model"]);
  check_reads_vectors(*model, schema, config["model"]);
  Trainer trainer(*model, config);
  const TrainOptions& t = trainer.options();
  if (rows(splits.valid) > 0) check_monitor(*splits.valid, t);
  check_labels(*model, splits.train, at::Device(t.device));
  tracking = Tracking(config["tracking"]);
  const auto live = std::make_shared<LiveReport>(options.out / "report.html");
  tracking.add(live);
  const DirectoryLock lock = open_directory(config, schema, options);
  std::optional<WarmStart> init;
  if (config.has("init") && !options.resume) init.emplace(*model, schema, options.data).copy_all(config["init"]);
  start_bundle(options.out, config, schema, options.data);
  const log::File log_file(options.out / "train.log");
  RunSummary summary;
  summary.parameters = parameter_count(*model);
  log::info("{}: {} fields, {} parameters; {} train rows, {} valid, {} test; {} thread{}, {}",
            config["model"]["name"].as<std::string>(), schema.fields().size(), human_count(double(summary.parameters)),
            splits.train.rows(), rows(splits.valid), rows(splits.test), at::get_num_threads(),
            at::get_num_threads() == 1 ? "" : "s",
            nn::to_string(nn::parse_precision(config["train"]["precision"].as<std::string>())));
  if (init) init->log();
  trainer.run_in(options.out, options.resume);
  trainer.track(tracking, {.directory = options.out, .config = config, .resumed = options.resume});
  if (options.started) options.started(trainer);
  summary.fit = rows(splits.valid) > 0 ? trainer.fit(splits.train, *splits.valid) : trainer.fit(splits.train);
  if (summary.fit.interrupted) {
    throw Error(fmt::format("interrupted at step {}; a checkpoint is written, go on with --resume", summary.fit.steps),
                ErrorKind::interrupted);
  }
  if (options.finished) options.finished(trainer);
  log::info("stopped: {}; {} steps, {} rows/s", summary.fit.stopped_by, summary.fit.steps,
            human_count(summary.fit.rows_per_s));

  RunReport report = live->report();
  std::map<std::string, std::string> not_scored;
  const auto judge_split = [&](const char* name, const std::optional<Dataset>& split) -> std::vector<MetricValue> {
    if (rows(split) == 0) return {};
    const auto before_batch = [&] {
      live->scores(name);
      if (trainer.stop_asked())
        throw Error("interrupted after training, while rows were scored; go on with --resume", ErrorKind::interrupted);
    };
    try {
      return judge(*model, {name, *split, splits.train, before_batch}, t, report);
    } catch (const Error& problem) {  // of a row: the run is as good as it was
      if (problem.kind() != ErrorKind::numeric) throw;
      log::warning("{} has no metrics: {}", name, problem.what());
      not_scored[name] = problem.what();
      return {};
    }
  };
  summary.valid = judge_split("valid", splits.valid);
  if (options.test) summary.test = judge_split("test", splits.test);
  summary.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count();
  summary.peak_bytes = peak_memory_bytes();
  if (!fs::exists(options.out / Bundle::kWeights) || summary.fit.best < 0)
    save_weights(options.out / Bundle::kWeights, *model);
  check_reload(*model, options.out, splits.train, t, uint64_t(config["seed"].as<int64_t>()));
  fill_report(report, summary, schema, splits.train.rows());
  for (const auto& [name, why] : not_scored) report.facts.emplace_back(name + " has no metrics", why);
  report.data = report_data(options.data, schema, plain_counts(splits));
  write_summary(options.out, summary, splits.train, not_scored);
  if (options.report) options.report(report);
  conclude(report);
  write_report(options.out / "report.html", report);
  finish_bundle(options.out);
  tracking.end(RunEnd::finished, &summary);
  return summary;
}

}  // namespace

RunSummary train_run(const Config& experiment, const RunOptions& options) {
  Tracking tracking;
  try {
    return train_tracked(experiment, options, tracking);
  } catch (const Error& problem) {
    tracking.end(problem.kind() == ErrorKind::interrupted ? RunEnd::interrupted : RunEnd::failed);
    throw;
  } catch (...) {
    tracking.end(RunEnd::failed);
    throw;
  }
}

}  // namespace interplay
