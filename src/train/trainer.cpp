#include <interplay/train/trainer.h>

#include <atomic>
#include <cmath>
#include <limits>

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <ATen/Version.h>
#include <nlohmann/json.hpp>

#include <interplay/base/files.h>
#include <interplay/base/log.h>
#include <interplay/base/progress.h>
#include <interplay/base/section.h>
#include <interplay/core/bundle.h>
#include <interplay/core/objective.h>
#include <interplay/core/ranking_metric.h>
#include <interplay/data/loader.h>
#include <interplay/nn/safetensors.h>
#include <interplay/optim/schedule.h>
#include <interplay/train/evaluator.h>

#include "checkpoint.h"
#include "guard.h"

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

namespace interplay {
namespace {

INTERPLAY_SECTION("train", TrainOptions, "`train:` of an experiment");

constexpr double kImprovement = 1e-6;  // a gain below this is none (FuxiCTR's protocol)
constexpr const char* kMetricsFile = "metrics.jsonl";
constexpr const char* kOfTerm = "term";  // of `term:NAME`, what a term's mean on the validation rows is called

at::Device parse_device(const std::string& name) {
  try {
    const at::Device device(name);
    INTERPLAY_CHECK(device.is_cpu() || at::hasCUDA(),
                    "train.device: '{}' asked for, but this LibTorch has no CUDA; build with -DTorch_DIR=<a CUDA "
                    "LibTorch>, or use cpu",
                    name);
    return device;
  } catch (const c10::Error&) {
    throw Error(fmt::format("train.device: '{}' is not a device; expected cpu, cuda or cuda:N", name));
  }
}

/// NaN and infinity have no place in JSON.
Json number(double value) { return std::isfinite(value) ? Json(value) : Json(nullptr); }

Json to_json(const EpochReport& r) {
  Json metrics = Json::object();
  for (const auto& m : r.metrics) metrics[m.name] = number(m.value);
  Json profile = Json::object();
  for (size_t i = 0; i < kStages; ++i) {
    profile[kStageNames[i]] = {{"seconds", r.stages[i]},
                               {"percent", number(std::round(1000 * r.stages[i] / r.seconds) / 10)},
                               {"rows_per_s", number(std::round(double(r.rows) / r.stages[i]))}};
  }
  Json out{{"epoch", r.epoch}, {"step", r.step}, {"train_loss", number(r.train_loss)}};
  if (!r.terms.empty()) {
    Json& terms = out["train_terms"] = Json::object();
    for (const auto& [name, mean] : r.terms) terms[name] = number(mean);
  }
  out.update(Json{{"valid", metrics},
                  {"monitor", number(r.monitor)},
                  {"improved", r.improved},
                  {"lr", r.lr},
                  {"rows", r.rows},
                  {"rows_per_s", std::round(r.rows_per_s)},
                  {"seconds", r.seconds},
                  {"profile", profile}});
  return out;
}

/// A metric's name without the label it is of: `auc` of `auc:click`.
std::string without_label(const std::string& name) { return name.substr(0, name.find(':')); }

void check_metric(const Config& metric) {
  if (metric.is_scalar() && is_ranking_metric(metric.as<std::string>())) {
    parse_ranking_metric(metric.as<std::string>());
  } else {
    metrics().find(metric);
  }
}

/// As printed: `AUC:click` for auc:click.
std::string display_of(const std::string& name) {
  const std::string metric = without_label(name);
  if (metric == kOfTerm) return name.substr(metric.size() + 1);
  if (is_ranking_metric(name)) return name;
  return metrics().make(Config::scalar(metric, true))->display() + name.substr(metric.size());
}

}  // namespace

struct Trainer::State {
  Model& model;
  Config config;  // resolved: train, optimizer, seed
  TrainOptions options;
  uint64_t seed;
  at::Device device;
  nn::Precision precision = nn::Precision::fp32;
  Optimizer parameters;
  std::optional<Objective> objective;
  std::shared_ptr<Schedule> schedule;
  std::map<std::string, std::shared_ptr<Schedule>> own_schedules;  // of groups that do not follow it
  std::function<void(const EpochReport&)> on_epoch;
  std::function<void(int64_t, double)> on_step;
  std::vector<std::string> held_groups, own_groups;  // take turns: on held_out, on the training rows
  std::optional<Dataset> held_out;
  fs::path run;
  bool resume = false;
  std::atomic<bool> stop_asked{false};
  Schema schema;
  std::optional<Dataset> training_rows;
  int64_t total_steps = 1, train_rows = 0;
  std::string train_checksum;

  int64_t tokens = 0;  // of texts, not yet shown
  // Where training is; all of it goes into a checkpoint.
  int64_t epoch = 0, batch = 0, waited = 0, best = -1;
  int64_t held_epoch = 0, held_batch = 0;  // of held_out
  double best_score = -std::numeric_limits<double>::infinity(), loss_sum = 0;
  std::vector<std::pair<std::string, double>> term_sums;  // beside loss_sum
  int64_t loss_steps = 0, rows = 0, rows_at_evaluation = 0;
  StageSeconds stages{}, stages_at_evaluation{};
  bool done = false, fitted = false;
  bool changed = true;  // since the last checkpoint
  std::vector<EpochReport> evaluations;
  std::map<std::string, at::Tensor> best_weights;  // only without a run directory
  StageClock clock;                                // runs while steps are taken

  State(Model& m, const Config& c, const std::vector<std::string>& labels)
      : model(m),
        config(Trainer::resolve(c)),
        seed(uint64_t(config["seed"].as<int64_t>())),
        device(parse_device(config["train"]["device"].as<std::string>())),
        parameters((move_model(m, device), m), config["optimizer"]) {
    read_options(options, config["train"]);
    precision = nn::parse_precision(options.precision);
    aim_at(labels);
    schedule = schedules().make(options.schedule);
    for (const auto& group : parameters.groups()) {
      if (const Config own = parameters.schedule(group); !own.is_null()) own_schedules[group] = schedules().make(own);
    }
  }

  /// Where the labels are not known by name, one loss serves them all.
  void aim_at(const std::vector<std::string>& labels) {
    if (labels.empty() && options.loss.is_map() && !options.loss.has("name")) return;
    if (!objective || objective->labels() != labels) objective.emplace(options.loss, options.terms, labels);
  }

  /// Metrics of rows, and those of a ranked catalogue, each once.
  struct Wanted {
    std::vector<Config> of_rows;
    std::vector<std::string> of_catalogue, seen = {};
    void add(const std::string& name) {
      if (name.starts_with(kOfTerm) || std::find(seen.begin(), seen.end(), name) != seen.end()) return;
      seen.push_back(name);
      if (is_ranking_metric(name)) {
        of_catalogue.push_back(name);
      } else {
        of_rows.push_back(Config::scalar(name, true));
      }
    }
  };
  Wanted wanted_metrics() const {
    Wanted wanted;
    for (const auto& name : options.metrics) wanted.add(name);
    for (const auto& name : monitored_names(options.monitor)) wanted.add(without_label(name));
    return wanted;
  }

  double lr_factor(int64_t step, const Schedule& by) const {
    const double warm = options.warmup_steps > 0 ? std::min(1.0, double(step) / double(options.warmup_steps)) : 1.0;
    return warm * by.factor(step, total_steps);
  }

  std::map<std::string, double> own_lr_factors(int64_t step) const {
    std::map<std::string, double> out;
    for (const auto& [group, own] : own_schedules) out[group] = lr_factor(step, *own);
    return out;
  }

  Objective::Value loss_of(const Batch& b) {
    const StageScope stage(Stage::forward);
    model.train();
    const nn::PrecisionGuard in_precision(precision);
    const Output out = model.forward(b.features);
    tokens += out.tokens;
    INTERPLAY_CHECK(objective, "train.loss has a loss for each label, by name; give the Trainer the labels' names");
    return (*objective)(out, b);
  }

  double take_step(const Batch& given, const std::vector<std::string>& only, bool same_number = false) {
    const Batch b = device.is_cpu() ? given : given.to(device);
    const auto loss = loss_of(b);
    const double value = loss.total.item<double>();
    if (!std::isfinite(value)) explain_not_finite(model, b, schema, parameters.steps() + 1, value);
    {
      const StageScope stage(Stage::backward);
      loss.total.backward();
    }
    if (!same_number) add_parts(loss.parts);
    const int64_t step = parameters.steps() + 1;
    parameters.step({lr_factor(step, *schedule), own_lr_factors(step), options.clip_norm, only, same_number});
    return value;
  }

  void add_parts(const std::vector<Objective::Part>& parts) {
    for (const auto& part : parts) {
      const auto known =
          std::find_if(term_sums.begin(), term_sums.end(), [&](const auto& t) { return t.first == part.name; });
      auto& sum = known == term_sums.end() ? term_sums.emplace_back(part.name, 0) : *known;
      sum.second += part.value.item<double>();
    }
  }

  /// The batches of `held_out`, from where the run is. They have the balance of classes that the others learn from.
  std::unique_ptr<Loader> open_held_out() const {
    if (!held_out) return nullptr;
    auto loader = std::make_unique<Loader>(*held_out, LoaderOptions{.batch_size = options.batch_size,
                                                                    .shuffle = options.shuffle,
                                                                    .seed = seed + 1,
                                                                    .negative_rate = options.negative_rate,
                                                                    .negative_label = options.negative_label});
    loader->start(held_epoch, held_batch);
    return loader;
  }

  void take_turn(Loader& loader) {
    Batch b;
    if (!next(loader, b)) {
      loader.start(++held_epoch, held_batch = 0);
      if (!next(loader, b)) return;  // no row of this draw stays
    }
    ++held_batch;
    take_step(b, held_groups, /*same_number=*/true);
  }

  static bool next(Loader& loader, Batch& b) {
    const StageScope stage(Stage::load);
    return loader.next(b);
  }

  void stop_clock() {
    const StageSeconds passed = clock.take();
    for (size_t i = 0; i < kStages; ++i) stages[i] += passed[i];
  }

  Json checkpoint_state() const {
    Json reports = Json::array();
    for (const auto& e : evaluations) reports.push_back(to_json(e));
    Json own = Json::object();
    for (const auto& [group, schedule_of_it] : own_schedules) own[group] = schedule_of_it->state().yaml();
    return {{"step", parameters.steps()},
            {"epoch", epoch},
            {"batch", batch},
            {"held_epoch", held_epoch},
            {"held_batch", held_batch},
            {"waited", waited},
            {"best", best},
            {"best_score", number(best_score)},
            {"loss_sum", loss_sum},
            {"loss_steps", loss_steps},
            {"term_sums", term_sums},
            {"rows", rows},
            {"rows_at_evaluation", rows_at_evaluation},
            {"stage_seconds", stages},
            {"stage_seconds_at_evaluation", stages_at_evaluation},
            {"done", done},
            {"schedule", schedule->state().yaml()},
            {"own_schedules", own},
            {"train_rows", train_rows},
            {"train_checksum", train_checksum},
            {"threads", at::get_num_threads()},
            {"kernels", at::get_cpu_capability()},
            {"precision", nn::to_string(precision)},
            {"evaluations", reports}};
  }

  void save() {
    if (run.empty() || !changed) return;
    check_weights(model, parameters.steps());
    save_checkpoint(run, model, parameters, checkpoint_state());
    changed = false;
  }

  bool restore() {
    const Json s = load_checkpoint(run, model, parameters);
    if (s.is_null()) {
      log::info("there is no checkpoint yet; training begins anew");
      return false;
    }
    try {
      restore(s);
    } catch (const Json::exception& problem) {
      throw Error(fmt::format("{}: the state.json of its checkpoint is not the state of a run ({})", run.string(),
                              problem.what()),
                  ErrorKind::data);
    }
    if (best >= 0) nn::Safetensors(run / Bundle::kWeights).check();
    changed = false;
    log::info("resumed at step {} (epoch {}, batch {})", parameters.steps(), epoch + 1, batch);
    return true;
  }

  void restore(const Json& s) {
    INTERPLAY_CHECK_DATA(s.at("train_rows") == train_rows,
                         "{}: was begun with {} training rows, now there are {}; resume with the data of the run",
                         run.string(), s.at("train_rows").dump(), train_rows);
    INTERPLAY_CHECK_DATA(s.value("train_checksum", train_checksum) == train_checksum,
                         "{}: was begun with other training rows, as many as these; resume with the data of the run",
                         run.string());
    held_epoch = s.at("held_epoch"), held_batch = s.at("held_batch");
    epoch = s.at("epoch"), batch = s.at("batch"), waited = s.at("waited"), best = s.at("best");
    if (!s.at("best_score").is_null()) best_score = s.at("best_score");
    loss_sum = s.at("loss_sum"), loss_steps = s.at("loss_steps"), rows = s.at("rows"), done = s.at("done");
    term_sums = s.value("term_sums", decltype(term_sums)());
    rows_at_evaluation = s.at("rows_at_evaluation");
    stages = s.at("stage_seconds"), stages_at_evaluation = s.at("stage_seconds_at_evaluation");
    schedule->restore(Config::parse(s.at("schedule").get<std::string>()));
    for (const auto& [group, own] : own_schedules)
      own->restore(Config::parse(s.at("own_schedules").at(group).get<std::string>()));
    for (const auto& e : s.at("evaluations")) {
      EpochReport r;
      r.epoch = e.at("epoch"), r.step = e.at("step"), r.lr = e.at("lr"), r.improved = e.at("improved");
      r.train_loss = e.at("train_loss").is_null() ? NAN : e.at("train_loss").get<double>();
      r.monitor = e.at("monitor").is_null() ? NAN : e.at("monitor").get<double>();
      r.rows = e.at("rows"), r.rows_per_s = e.at("rows_per_s"), r.seconds = e.at("seconds");
      for (size_t i = 0; i < kStages; ++i) r.stages[i] = e.at("profile").at(kStageNames[i]).at("seconds");
      if (e.contains("train_terms")) {
        for (const auto& [name, mean] : e.at("train_terms").items())
          r.terms.emplace_back(name, mean.is_null() ? NAN : mean.get<double>());
      }
      for (const auto& [name, value] : e.at("valid").items())
        r.metrics.push_back({name, display_of(name), value.is_null() ? NAN : value.get<double>()});
      evaluations.push_back(std::move(r));
    }
    const auto precision_before = s.at("precision").get<std::string>();
    if (s.at("threads") != at::get_num_threads() || s.at("kernels") != at::get_cpu_capability() ||
        precision_before != nn::to_string(precision)) {
      log::warning(
          "the run was begun with {} thread(s), {} kernels and {}, now it is {}, {} and {}: it goes on, but the last "
          "digits may differ",
          s.at("threads").get<int>(), s.at("kernels").get<std::string>(), precision_before, at::get_num_threads(),
          at::get_cpu_capability(), nn::to_string(precision));
    }
  }

  void write_metrics(const EpochReport& r) {
    if (run.empty()) return;
    OutputFile out(run / kMetricsFile, OutputFile::Mode::append);
    out.write(to_json(r).dump() + "\n");
    out.close();
  }

  /// What an epoch line tells of begins anew.
  void begin_stretch() {
    loss_sum = 0, loss_steps = 0, rows_at_evaluation = rows, stages_at_evaluation = stages;
    term_sums.clear();
  }
  StageSeconds since_evaluation() const {
    StageSeconds out{};
    for (size_t i = 0; i < kStages; ++i) out[i] = stages[i] - stages_at_evaluation[i];
    return out;
  }

  /// What is wanted of the model on these rows, and the means of the terms that it gives there.
  std::vector<MetricValue> judge(const Dataset& valid) {
    std::vector<std::pair<MetricValue, double>> terms;  // their sums over rows, and the rows
    PredictOptions how{options.eval_batch_size, device,
                       negative_offsets(options.negative_rate, options.negative_label, valid.schema().labels()),
                       precision, "evaluate"};
    how.each = [&](const Output& out, const Batch& given) {
      if (out.terms.empty()) return;
      const Batch b = device.is_cpu() ? given : given.to(device);
      for (const auto& part : objective->terms(out, b)) {
        const std::string name = fmt::format("{}:{}", kOfTerm, part.name);
        const auto known =
            std::find_if(terms.begin(), terms.end(), [&](const auto& t) { return t.first.name == name; });
        auto& [mean, rows] =
            known == terms.end() ? terms.emplace_back(MetricValue{name, display_of(name), 0}, 0) : *known;
        mean.value += double(b.rows()) * part.value.item<double>();
        rows += double(b.rows());
      }
    };
    const Predicted predicted = predict(model, valid, how);
    std::vector<MetricValue> values;
    const Wanted wanted = wanted_metrics();
    if (!predicted.logit.empty())
      values = predicted.evaluate(Config::sequence(wanted.of_rows), valid.schema().labels());
    if (!wanted.of_catalogue.empty()) {
      const auto found = evaluate_retrieval(model, valid, *training_rows, wanted.of_catalogue, options.retrieval,
                                            options.eval_batch_size);
      values.insert(values.end(), found.begin(), found.end());
    }
    for (auto& [mean, rows] : terms) {
      mean.value /= rows;
      mean.merit = -mean.value;
      values.push_back(std::move(mean));
    }
    return values;
  }

  void evaluate_now(const Dataset& valid) {
    changed = true;
    EpochReport r;
    r.epoch = batch == 0 ? epoch : epoch + 1;
    r.step = parameters.steps();
    r.train_loss = loss_steps > 0 ? loss_sum / double(loss_steps) : NAN;
    for (const auto& [name, sum] : term_sums) r.terms.emplace_back(name, sum / double(loss_steps));
    const auto of_dense = own_schedules.find("dense");
    r.lr = parameters.lr("dense") * lr_factor(std::max<int64_t>(1, parameters.steps()),
                                              of_dense == own_schedules.end() ? *schedule : *of_dense->second);
    r.rows = rows - rows_at_evaluation;
    r.stages = since_evaluation();
    r.seconds = total(r.stages);
    r.rows_per_s = r.seconds > 0 ? double(r.rows) / r.seconds : 0;
    begin_stretch();
    r.metrics = judge(valid);
    r.monitor = monitor_value(r.metrics, options.monitor);
    r.improved = r.monitor > best_score + kImprovement;
    if (r.improved) best_score = r.monitor;
    waited = r.improved ? 0 : waited + 1;
    if (r.improved || options.keep == "last") {
      best = int64_t(evaluations.size());
      keep_best();
    }
    schedule->observe(r.improved);
    for (const auto& [group, own] : own_schedules) own->observe(r.improved);
    log::info("epoch {}  step {}  train loss {:.6f}  {}  {} rows/s  {}{}", r.epoch, r.step, r.train_loss,
              metrics_line(r.metrics), human_count(r.rows_per_s), human_seconds(r.seconds), r.improved ? "  *" : "");
    log::info("  {}", profile_line(r.stages, r.rows));
    evaluations.push_back(r);
    write_metrics(r);
    if (options.patience > 0 && waited >= options.patience) done = true;
    if (on_epoch) on_epoch(r);
  }

  void keep_best() {
    check_weights(model, parameters.steps());
    if (!run.empty()) return save_weights(run / Bundle::kWeights, model);
    best_weights.clear();
    for (const auto& [name, w] : weights_of(model)) best_weights[name] = w.clone();
  }

  void load_best() {
    if (best < 0) {
      keep_best();  // nothing was ever measured: the last weights are the result
    } else if (!run.empty()) {
      load_weights(model, nn::Safetensors(run / Bundle::kWeights).tensors(), (run / Bundle::kWeights).string());
    } else {
      load_weights(model, best_weights, "the best weights");
    }
  }

  FitReport fit(const Dataset& train, const Dataset* valid) {
    INTERPLAY_CHECK(!fitted, "Trainer::fit() was called before; make another Trainer to train its model further");
    fitted = true;
    if (valid && valid->rows() == 0) valid = nullptr;
    schema = train.schema();
    training_rows = train;
    aim_at(schema.labels());
    train_rows = train.rows(), train_checksum = fmt::format("{:016x}", train.checksum());
    if (resume) restore();
    if (!run.empty()) {  // from the checkpoint: what was measured after it will be measured again
      std::string lines;
      for (const auto& e : evaluations) lines += to_json(e).dump() + "\n";
      write_file(run / kMetricsFile, lines);
    }
    Loader loader(train, {.batch_size = options.batch_size,
                          .shuffle = options.shuffle,
                          .seed = seed,
                          .keep_groups = options.keep_groups,
                          .negative_rate = options.negative_rate,
                          .negative_label = options.negative_label,
                          .shuffle_window = options.shuffle_window});
    const auto held = open_held_out();
    while (!done && epoch < options.epochs && !stop_asked) {
      loader.start(epoch, batch);
      total_steps = loader.batches() * options.epochs;
      Progress progress(fmt::format("epoch {}/{}", epoch + 1, options.epochs), loader.rows());
      progress.skip(batch * options.batch_size);
      clock.start();
      for (Batch b; !done && !stop_asked && next(loader, b);) {
        const double value = take_step(b, own_groups);
        if (held) take_turn(*held);
        changed = true;
        ++batch;
        loss_sum += value;
        ++loss_steps;
        rows += b.rows();
        progress.also(std::exchange(tokens, 0), "tokens");
        progress.add(b.rows(), fmt::format("loss {:.4f}", value));
        const int64_t step = parameters.steps();
        if (on_step) on_step(step, value);
        const bool last = batch == loader.batches();
        if (options.eval_every > 0 && step % options.eval_every == 0 && valid && !last) {
          stop_clock();
          evaluate_now(*valid);
          if (options.checkpoint_every == 0) save();
          clock.start();
        }
        if (options.checkpoint_every > 0 && step % options.checkpoint_every == 0 && !last) {
          stop_clock();
          save();
          clock.start();
        }
      }
      stop_clock();
      if (stop_asked && batch < loader.batches()) break;
      if (done) break;
      ++epoch;
      batch = 0;
      if (valid) {
        evaluate_now(*valid);
      } else {
        log::info("epoch {}  step {}  train loss {:.6f}", epoch, parameters.steps(), loss_sum / double(loss_steps));
        log::info("  {}", profile_line(since_evaluation(), rows - rows_at_evaluation));
        begin_stretch();
      }
      if (options.checkpoint_every == 0 || parameters.steps() % options.checkpoint_every == 0) save();
    }
    FitReport report;
    report.interrupted = stop_asked && !done && epoch < options.epochs;
    save();
    if (!report.interrupted) load_best();
    report.evaluations = evaluations;
    report.best = best;
    report.steps = parameters.steps();
    report.stages = stages;
    report.seconds = total(stages);
    report.rows_per_s = report.seconds > 0 ? double(rows) / report.seconds : 0;
    report.stopped_by = report.interrupted ? "interrupted"
                        : done             ? fmt::format("no improvement in {} evaluations", options.patience)
                                           : fmt::format("all {} epochs done", options.epochs);
    return report;
  }
};

Trainer::Trainer(Model& model, const Config& config, std::vector<std::string> labels)
    : state_(std::make_unique<State>(model, config, labels)) {}
Trainer::~Trainer() = default;

Config Trainer::resolve(const Config& config) {
  TrainOptions options;
  read_options(options, config["train"], "train");
  options.loss = Objective::resolve(options.loss);
  options.schedule = schedules().resolve(options.schedule);
  if (const Config named = config["train"]["metrics"]; named.defined()) {  // now, not after an epoch
    for (const auto& metric : named.items()) check_metric(metric);
  }
  for (const auto& name : monitored_names(options.monitor)) {
    const std::string metric = without_label(name);
    if (metric == kOfTerm) continue;
    if (is_ranking_metric(metric)) {
      parse_ranking_metric(metric);
    } else if (!metrics().has(metric)) {
      detail::unknown_name(options.monitor, "metric", metric, metrics().names());
    }
  }
  Config out;
  out.set("train", write_options(options));
  out.set("optimizer", Optimizer::resolve(config["optimizer"]));
  out.set("seed", detail::to_config(config.get<int64_t>("seed", 1)));
  return out;
}

void Trainer::run_in(const fs::path& directory, bool resume) {
  state_->run = directory;
  state_->resume = resume;
}

void Trainer::on_epoch(std::function<void(const EpochReport&)> call) { state_->on_epoch = std::move(call); }
void Trainer::on_step(std::function<void(int64_t, double)> call) { state_->on_step = std::move(call); }
void Trainer::take_turns(std::vector<std::string> groups, const Dataset& held_out) {
  INTERPLAY_CHECK_DATA(held_out.rows() > 0, "there are no held-out rows for the groups {} to learn from",
                       fmt::join(groups, ", "));
  state_->own_groups.clear();
  for (const auto& name : parameters().groups()) {
    if (std::find(groups.begin(), groups.end(), name) == groups.end()) state_->own_groups.push_back(name);
  }
  state_->held_groups = std::move(groups);
  state_->held_out = held_out;
}
FitReport Trainer::fit(const Dataset& train, const Dataset& valid) { return state_->fit(train, &valid); }
FitReport Trainer::fit(const Dataset& train) { return state_->fit(train, nullptr); }
double Trainer::step(const Batch& batch, const std::vector<std::string>& only) {
  return state_->take_step(batch, only);
}
void Trainer::stop() noexcept { state_->stop_asked = true; }
bool Trainer::stop_asked() const noexcept { return state_->stop_asked; }
Model& Trainer::model() { return state_->model; }
Optimizer& Trainer::parameters() { return state_->parameters; }
const TrainOptions& Trainer::options() const { return state_->options; }

}  // namespace interplay
