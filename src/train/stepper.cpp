#include <interplay/train/stepper.h>

#include <cmath>
#include <optional>

#include <ATen/ATen.h>

#include <interplay/base/stages.h>
#include <interplay/optim/schedule.h>

#include "train/guard.h"

namespace interplay {
namespace {

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

}  // namespace

struct Stepper::State {
  Model& model;
  Config config;  // resolved: train, optimizer, seed
  TrainOptions options;
  uint64_t seed;
  at::Device device;
  nn::Precision precision = nn::Precision::fp32;
  Optimizer optimizer;
  std::optional<Objective> objective;
  std::shared_ptr<Schedule> schedule;
  std::map<std::string, std::shared_ptr<Schedule>> own_schedules;  // of groups that do not follow it
  std::vector<std::string> groups = {};                            // that step() moves; empty = all
  Schema schema;
  int64_t total_steps = 1;
  std::vector<std::function<void(const Batch&)>> before;
  std::vector<std::function<void(const Batch&, const StepReport&)>> between;
  std::vector<std::function<void(const StepReport&)>> after;

  State(Model& m, const Config& c, const std::vector<std::string>& labels)
      : model(m),
        config(resolve_training(c)),
        seed(uint64_t(config["seed"].as<int64_t>())),
        device(parse_device(config["train"]["device"].as<std::string>())),
        optimizer((move_model(m, device), m), config["optimizer"]) {
    read_options(options, config["train"]);
    precision = nn::parse_precision(options.precision);
    aim_at(labels);
    schedule = schedules().make(options.schedule);
    for (const auto& group : optimizer.groups()) {
      if (const Config own = optimizer.schedule(group); !own.is_null()) own_schedules[group] = schedules().make(own);
    }
  }

  /// Where the labels are not known by name, one loss serves them all.
  void aim_at(const std::vector<std::string>& labels) {
    if (labels.empty() && options.loss.is_map() && !options.loss.has("name")) return;
    if (!objective || objective->labels() != labels) objective.emplace(options.loss, options.terms, labels);
  }

  double lr_factor(int64_t step, const Schedule& by) const {
    const double warm = options.warmup_steps > 0 ? std::min(1.0, double(step) / double(options.warmup_steps)) : 1.0;
    return warm * by.factor(step, total_steps);
  }

  Optimizer::Step next_move() const {
    const int64_t step = optimizer.steps() + 1;
    Optimizer::Step move{.lr_factor = lr_factor(step, *schedule), .clip_norm = options.clip_norm};
    for (const auto& [group, own] : own_schedules) move.own_lr_factors[group] = lr_factor(step, *own);
    return move;
  }

  Objective::Value loss_of(const Batch& b, int64_t& tokens) {
    const StageScope stage(Stage::forward);
    model.train();
    const nn::PrecisionGuard in_precision(precision);
    const Output out = model.forward(b.features);
    tokens = out.tokens;
    INTERPLAY_CHECK(objective, "train.loss has a loss for each label, by name; give the Trainer the labels' names");
    return (*objective)(out, b);
  }

  StepReport step(const Batch& given, const std::vector<std::string>& only, bool own_number) {
    if (own_number) {
      for (const auto& call : before) call(given);
    }
    const Batch b = device.is_cpu() ? given : given.to(device);
    StepReport report{.step = optimizer.steps() + (own_number ? 1 : 0), .rows = b.rows()};
    const auto loss = loss_of(b, report.tokens);
    report.loss = loss.total.item<double>();
    if (!std::isfinite(report.loss)) explain_not_finite(model, b, schema, optimizer.steps() + 1, report.loss);
    {
      const StageScope stage(Stage::backward);
      loss.total.backward();
    }
    for (const auto& part : loss.parts) report.terms.emplace_back(part.name, part.value.item<double>());
    if (own_number) {
      for (const auto& call : between) call(b, report);
    }
    Optimizer::Step move = next_move();
    move.only = only;
    move.same_number = !own_number;
    report.gradient_norm = optimizer.step(move);
    if (own_number) {
      for (const auto& call : after) call(report);
    }
    return report;
  }
};

Stepper::Stepper(Model& model, const Config& config, std::vector<std::string> labels)
    : state_(std::make_unique<State>(model, config, labels)) {}
Stepper::~Stepper() = default;

StepReport Stepper::step(const Batch& batch, const std::vector<std::string>& only) {
  return state_->step(batch, only.empty() ? state_->groups : only, /*own_number=*/true);
}

StepReport Stepper::turn(const Batch& batch, const std::vector<std::string>& groups) {
  return state_->step(batch, groups, /*own_number=*/false);
}

void Stepper::leave(const std::vector<std::string>& groups) {
  const std::vector<std::string> all = state_->groups.empty() ? optimizer().groups() : state_->groups;
  state_->groups.clear();
  for (const auto& name : all) {
    if (std::find(groups.begin(), groups.end(), name) == groups.end()) state_->groups.push_back(name);
  }
  INTERPLAY_CHECK(!state_->groups.empty(), "every group of parameters is left to turns ({}); leave one to the step",
                  fmt::join(groups, ", "));
}

void Stepper::before_step(std::function<void(const Batch&)> call) { state_->before.push_back(std::move(call)); }
void Stepper::after_backward(std::function<void(const Batch&, const StepReport&)> call) {
  state_->between.push_back(std::move(call));
}
void Stepper::after_step(std::function<void(const StepReport&)> call) { state_->after.push_back(std::move(call)); }

Objective::Value Stepper::loss(const Batch& batch) {
  int64_t tokens = 0;
  return state_->loss_of(batch.to(state_->device), tokens);
}
Optimizer::Step Stepper::next_move() const { return state_->next_move(); }

void Stepper::reads(const Schema& schema) {
  state_->schema = schema;
  state_->aim_at(schema.labels());
}

void Stepper::ends_at(int64_t steps) {
  state_->total_steps = steps;
  if (steps > 0) return;
  const auto check = [](const Schedule& schedule, const std::string& key) {
    INTERPLAY_CHECK(!schedule.needs_end(),
                    "{}: falls towards the last step, and a stream of batches has none in sight; expected constant, "
                    "plateau or step",
                    key);
  };
  check(*state_->schedule, "train.schedule");
  for (const auto& [group, own] : state_->own_schedules) check(*own, fmt::format("optimizer.{}.schedule", group));
}

void Stepper::observe(bool improved) {
  state_->schedule->observe(improved);
  for (const auto& [group, own] : state_->own_schedules) own->observe(improved);
}

double Stepper::lr() const {
  const State& s = *state_;
  const auto own = s.own_schedules.find("dense");
  const Schedule& by = own == s.own_schedules.end() ? *s.schedule : *own->second;
  return s.optimizer.lr("dense") * s.lr_factor(std::max<int64_t>(1, s.optimizer.steps()), by);
}

Model& Stepper::model() { return state_->model; }
Optimizer& Stepper::optimizer() { return state_->optimizer; }
const Objective& Stepper::objective() const { return *state_->objective; }
const TrainOptions& Stepper::options() const { return state_->options; }
at::Device Stepper::device() const { return state_->device; }
nn::Precision Stepper::precision() const { return state_->precision; }
uint64_t Stepper::seed() const { return state_->seed; }

Config Stepper::state() const {
  Config out, own;
  out.set_key("schedule", state_->schedule->state());
  for (const auto& [group, schedule] : state_->own_schedules) own.set_key(group, schedule->state());
  out.set_key("own_schedules", own);
  return out;
}

void Stepper::restore(const Config& state) {
  state_->schedule->restore(state["schedule"]);
  for (const auto& [group, schedule] : state_->own_schedules) schedule->restore(state["own_schedules"][group]);
}

}  // namespace interplay
