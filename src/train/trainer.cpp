#include <interplay/train/trainer.h>

#include <atomic>
#include <cmath>
#include <fstream>
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
  return {{"epoch", r.epoch},
          {"step", r.step},
          {"train_loss", number(r.train_loss)},
          {"valid", metrics},
          {"monitor", number(r.monitor)},
          {"improved", r.improved},
          {"lr", r.lr},
          {"rows", r.rows},
          {"rows_per_s", std::round(r.rows_per_s)},
          {"seconds", r.seconds},
          {"profile", profile}};
}

}  // namespace

struct Trainer::State {
  Model& model;
  Config config;  // resolved: train, optimizer, seed
  TrainOptions options;
  uint64_t seed;
  at::Device device;
  nn::Precision precision = nn::Precision::fp32;
  ParameterGroups parameters;
  std::shared_ptr<Loss> loss;
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
  int64_t total_steps = 1, train_rows = 0;
  std::string train_checksum;

  int64_t tokens = 0;  // of texts, not yet shown
  // Where training is; all of it goes into a checkpoint.
  int64_t epoch = 0, batch = 0, waited = 0, best = -1;
  double best_score = -std::numeric_limits<double>::infinity(), loss_sum = 0;
  int64_t loss_steps = 0, rows = 0, rows_at_evaluation = 0;
  StageSeconds stages{}, stages_at_evaluation{};
  bool done = false;
  bool changed = true;  // since the last checkpoint
  std::vector<EpochReport> evaluations;
  std::map<std::string, at::Tensor> best_weights;  // only without a run directory
  StageClock clock;                                // runs while steps are taken

  State(Model& m, const Config& c)
      : model(m),
        config(Trainer::resolve(c)),
        seed(uint64_t(config["seed"].as<int64_t>())),
        device(parse_device(config["train"]["device"].as<std::string>())),
        parameters((move_model(m, device), m), config["optimizer"]) {
    read_options(options, config["train"]);
    precision = nn::parse_precision(options.precision);
    loss = losses().make(options.loss);
    schedule = schedules().make(options.schedule);
    for (const auto& group : parameters.groups()) {
      if (const Config own = parameters.schedule(group); !own.is_null()) own_schedules[group] = schedules().make(own);
    }
  }

  Config wanted_metrics() const {
    std::vector<Config> names;
    std::vector<std::string> seen;
    const auto add = [&](const std::string& name) {
      if (std::find(seen.begin(), seen.end(), name) != seen.end()) return;
      seen.push_back(name);
      names.push_back(Config::scalar(name, true));
    };
    for (const auto& name : options.metrics) add(name);
    for (const auto& name : monitored_names(options.monitor)) add(name);
    return Config::sequence(std::move(names));
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

  at::Tensor loss_of(const Batch& b) {  // scalar
    const StageScope stage(Stage::forward);
    model.train();
    const nn::PrecisionGuard in_precision(precision);
    const Output out = model.forward(b.features);
    tokens += out.tokens;
    const auto labels = out.logit.dim() == 1 ? b.labels.squeeze(1) : b.labels;
    INTERPLAY_CHECK(
        labels.sizes() == out.logit.sizes(),
        "the model gives logits [{}] for labels [{}]; a model's logit is [B], or [B, T] for T labels; one of "
        "several labels is chosen by fields.labels",
        fmt::join(out.logit.sizes(), ", "), fmt::join(labels.sizes(), ", "));
    auto total = loss->forward(out.logit, labels, b.weight);
    for (const auto& a : out.auxiliary) total = total + a.weight * loss->forward(a.logit, labels, b.weight);
    return out.penalty.defined() ? total + out.penalty : total;
  }

  double take_step(const Batch& given, const std::vector<std::string>& only, bool same_number = false) {
    const Batch b = device.is_cpu() ? given : given.to(device);
    const auto total = loss_of(b);
    const double value = total.item<double>();
    if (!std::isfinite(value)) explain_not_finite(model, b, schema, parameters.steps() + 1, value);
    {
      const StageScope stage(Stage::backward);
      total.backward();
    }
    const int64_t step = parameters.steps() + 1;
    parameters.step({lr_factor(step, *schedule), own_lr_factors(step), options.clip_norm, only, same_number});
    return value;
  }

  /// The batches of `held_out`, from where a run of so many steps is.
  std::unique_ptr<Loader> open_held_out() const {
    if (!held_out) return nullptr;
    auto loader = std::make_unique<Loader>(
        *held_out, LoaderOptions{.batch_size = options.batch_size, .shuffle = options.shuffle, .seed = seed + 1});
    loader->start(0, 0);
    const int64_t batches = loader->batches();
    loader->start(parameters.steps() / batches, parameters.steps() % batches);
    return loader;
  }

  void take_turn(Loader& loader) {
    Batch b;
    if (!next(loader, b)) {
      loader.start((parameters.steps() - 1) / loader.batches(), 0);
      next(loader, b);
    }
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
            {"waited", waited},
            {"best", best},
            {"best_score", number(best_score)},
            {"loss_sum", loss_sum},
            {"loss_steps", loss_steps},
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
    epoch = s.at("epoch"), batch = s.at("batch"), waited = s.at("waited"), best = s.at("best");
    if (!s.at("best_score").is_null()) best_score = s.at("best_score");
    loss_sum = s.at("loss_sum"), loss_steps = s.at("loss_steps"), rows = s.at("rows"), done = s.at("done");
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
      for (const auto& [name, value] : e.at("valid").items()) {
        MetricValue m;
        m.name = name, m.value = value.is_null() ? NAN : value.get<double>();
        const std::string base = name.substr(0, name.find(':'));
        m.display = metrics().make(Config::scalar(base, true))->display() + name.substr(base.size());
        r.metrics.push_back(std::move(m));
      }
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
    const std::string line = to_json(r).dump() + "\n";
    std::ofstream out(run / kMetricsFile, std::ios::binary | std::ios::app);
    out << line << std::flush;
    INTERPLAY_CHECK_DATA(out.good(), "{}: cannot be written; is the disk full?", (run / kMetricsFile).string());
  }

  /// What an epoch line tells of begins anew.
  void begin_stretch() { loss_sum = 0, loss_steps = 0, rows_at_evaluation = rows, stages_at_evaluation = stages; }
  StageSeconds since_evaluation() const {
    StageSeconds out{};
    for (size_t i = 0; i < kStages; ++i) out[i] = stages[i] - stages_at_evaluation[i];
    return out;
  }

  void evaluate_now(const Dataset& valid) {
    changed = true;
    EpochReport r;
    r.epoch = batch == 0 ? epoch : epoch + 1;
    r.step = parameters.steps();
    r.train_loss = loss_steps > 0 ? loss_sum / double(loss_steps) : NAN;
    const auto of_dense = own_schedules.find("dense");
    r.lr = parameters.lr("dense") * lr_factor(std::max<int64_t>(1, parameters.steps()),
                                              of_dense == own_schedules.end() ? *schedule : *of_dense->second);
    r.rows = rows - rows_at_evaluation;
    r.stages = since_evaluation();
    r.seconds = total(r.stages);
    r.rows_per_s = r.seconds > 0 ? double(r.rows) / r.seconds : 0;
    begin_stretch();
    const double offset = options.negative_rate < 1 ? negative_rate_offset(options.negative_rate) : 0;
    const Predicted predicted = predict(model, valid, {options.eval_batch_size, device, offset, precision, "evaluate"});
    r.metrics = predicted.evaluate(wanted_metrics(), valid.schema().labels());
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
    schema = train.schema();
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
                          .negative_rate = options.negative_rate,
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

Trainer::Trainer(Model& model, const Config& config) : state_(std::make_unique<State>(model, config)) {}
Trainer::~Trainer() = default;

Config Trainer::resolve(const Config& config) {
  TrainOptions options;
  read_options(options, config["train"], "train");
  options.loss = losses().resolve(options.loss);
  options.schedule = schedules().resolve(options.schedule);
  if (const Config named = config["train"]["metrics"]; named.defined()) {  // now, not after an epoch
    for (const auto& metric : named.items()) metrics().find(metric);
  }
  for (const auto& name : monitored_names(options.monitor)) {
    if (!metrics().has(name)) detail::unknown_name(options.monitor, "metric", name, metrics().names());
  }
  Config out;
  out.set("train", write_options(options));
  out.set("optimizer", ParameterGroups::resolve(config["optimizer"]));
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
ParameterGroups& Trainer::parameters() { return state_->parameters; }
const TrainOptions& Trainer::options() const { return state_->options; }

}  // namespace interplay
