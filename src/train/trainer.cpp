#include <interplay/train/trainer.h>

#include <atomic>

#include <ATen/Parallel.h>
#include <ATen/Version.h>
#include <nlohmann/json.hpp>

#include <interplay/base/log.h>
#include <interplay/base/progress.h>
#include <interplay/base/section.h>
#include <interplay/core/sees_rows.h>
#include <interplay/data/loader.h>
#include <interplay/optim/schedule.h>
#include <interplay/train/run_directory.h>
#include <interplay/train/tracker.h>

#include "train/batches.h"
#include "train/judge.h"
#include "train/pace.h"
#include "train/run_files.h"
#include "train/stretch.h"
#include "train/wanted_metrics.h"

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

namespace interplay {
namespace {

INTERPLAY_SECTION("train", TrainOptions, "`train:` of an experiment");

constexpr int64_t kShownRows = 65536;  // at once

/// Thrown out of an evaluation that is cut short.
struct Stopped {};

/// What a fit learns from and is judged by.
struct Rows {
  Schema schema;
  const Dataset* train = nullptr;  // a stream has none
  const Dataset* valid = nullptr;
};

}  // namespace

struct Trainer::State {
  struct Memory {
    std::function<Config()> save;
    std::function<void(const Config&)> load;
  };
  Stepper stepper;
  const TrainOptions& options;
  Judge judge;
  RunFiles files;
  Stretch stretch;
  Pace pace;
  StageClock clock;  // runs while steps are taken
  std::map<std::string, Memory> memories;
  std::function<void(const EpochReport&)> on_epoch;
  Tracking* tracking = nullptr;
  TrackedRun tracked;
  std::shared_ptr<std::atomic<bool>> stop_asked = std::make_shared<std::atomic<bool>>(false);
  bool resume = false;

  // Where training is; all of it goes into a checkpoint.
  int64_t epoch = 0, batch = 0;
  int64_t begun = 0;  // the epoch that the present fit began with
  bool due = false;   // an evaluation, which was cut short
  int64_t train_rows = -1;
  std::string train_checksum;

  int64_t until = 0;  // the epoch that the present fit ends with

  bool fitted = false, unfinished = false;  // a fit: there was one; the last was stopped
  bool changed = true;                      // since the last checkpoint

  State(Model& model, const Config& config, const std::vector<std::string>& labels)
      : stepper(model, config, labels), options(stepper.options()), judge(options) {}

  int64_t steps() { return stepper.optimizer().steps(); }

  Json checkpoint_state() {
    Json remembered = Json::object();
    for (const auto& [name, memory] : memories) remembered[name] = memory.save().yaml();
    return {{"step", steps()},
            {"epoch", epoch},
            {"batch", batch},
            {"begun", begun},
            {"due", due},
            {"judge", judge.state()},
            {"stretch", stretch.state()},
            {"schedules", stepper.state().yaml()},
            {"remembered", remembered},
            {"train_rows", train_rows},
            {"train_checksum", train_checksum},
            {"threads", at::get_num_threads()},
            {"kernels", at::get_cpu_capability()},
            {"precision", nn::to_string(stepper.precision())}};
  }

  void save() {
    if (!changed) return;
    files.save(stepper.model(), stepper.optimizer(), checkpoint_state());
    changed = false;
  }

  void restore() {
    const Json s = files.load(stepper.model(), stepper.optimizer());
    if (s.is_null()) return log::info("there is no checkpoint yet; training begins anew");
    const std::string run = files.directory().string();
    try {
      restore(s, run);
    } catch (const Json::exception& problem) {
      throw Error(
          fmt::format("{}: the state.json of its checkpoint is not the state of a run ({})", run, problem.what()),
          ErrorKind::data);
    }
    if (judge.best() >= 0) files.check_best();
    changed = false;
    log::info("resumed at step {} (epoch {}, batch {})", steps(), epoch + 1, batch);
  }

  void restore(const Json& s, const std::string& run) {
    INTERPLAY_CHECK_DATA(s.at("train_rows") == train_rows,
                         "{}: was begun with {} training rows, now there are {}; resume with the data of the run", run,
                         s.at("train_rows").dump(), train_rows);
    INTERPLAY_CHECK_DATA(s.at("train_checksum") == train_checksum,
                         "{}: was begun with other training rows, as many as these; resume with the data of the run",
                         run);
    epoch = s.at("epoch"), batch = s.at("batch"), begun = s.at("begun"), due = s.at("due");
    judge.restore(s.at("judge"));
    stretch.restore(s.at("stretch"));
    stepper.restore(Config::parse(s.at("schedules").get<std::string>()));
    for (const auto& [name, memory] : memories) {
      if (s.at("remembered").contains(name)) memory.load(Config::parse(s.at("remembered").at(name).get<std::string>()));
    }
    warn_of_other(
        {s.at("threads").get<int>(), s.at("kernels").get<std::string>(), s.at("precision").get<std::string>()},
        Computing::now(nn::to_string(stepper.precision())));
  }

  void begin(const Rows& rows) {
    stepper.reads(rows.schema);
    train_rows = rows.train ? rows.train->rows() : -1;
    train_checksum = rows.train ? fmt::format("{:016x}", rows.train->checksum()) : "";
    const bool goes_on = std::exchange(unfinished, false);
    if (fitted && !goes_on) begun = epoch;
    if (!goes_on) judge.begin();
    if (!fitted && resume) restore();
    fitted = true;
    show_rows(rows.train);
    files.write_metrics(judge.evaluations());  // what was measured after the checkpoint will be measured again
    if (!tracking) return;
    tracked.step = steps();
    tracked.records = judge.evaluations();
    tracking->begin(tracked);
  }

  /// To the parts of the model that have to see them before they learn.
  void show_rows(const Dataset* train) {
    std::vector<SeesRows*> parts{dynamic_cast<SeesRows*>(&stepper.model())};
    for (const auto& m : stepper.model().modules(/*include_self=*/false))
      parts.push_back(dynamic_cast<SeesRows*>(m.get()));
    std::erase_if(parts, [](const SeesRows* part) { return !part || !part->wants_rows(); });
    if (parts.empty()) return;
    INTERPLAY_CHECK(train,
                    "the model looks at all training rows before it learns, which a stream has not; begin with "
                    "the weights of a run (WarmStart), or fit() a Dataset");
    const at::NoGradGuard no_grad;
    Loader loader(*train, {.batch_size = kShownRows, .shuffle = false});
    loader.start(0, 0);
    Progress progress("look at rows", train->rows());
    for (Batch b; loader.next(b); progress.add(b.rows())) {
      for (auto* part : parts) part->see_rows(b.features);
    }
    for (auto* part : parts) part->saw_all_rows();
  }

  /// Trackers of where the pass is.
  void tell(FitProgress::Doing doing) {
    if (!tracking) return;
    FitProgress p{.doing = doing, .epoch = std::min(epoch + 1, until), .epochs = until, .epochs_done = double(epoch)};
    p.lr = stepper.lr();
    pace.tell(p);
    if (p.steps > 0) p.epochs_done = double(p.step) * double(until) / double(p.steps);
    tracking->progress(p);
  }

  void stop_clock() { stretch.add(clock.take()); }

  /// Leaves `due` set where it is cut short.
  void evaluate(const Rows& rows) {
    due = changed = true;
    EpochReport r;
    r.epoch = batch == 0 ? epoch : epoch + 1;
    r.step = steps();
    r.lr = stepper.lr();
    stretch.tell(r);
    try {
      r.metrics = judge.measure(stepper, *rows.valid, rows.train ? *rows.train : *rows.valid, [this] {
        if (*stop_asked) throw Stopped();
        if (pace.is_due()) tell(FitProgress::Doing::evaluating);
      });
    } catch (const Stopped&) {
      return;
    }
    due = false;
    stretch.begin();
    if (judge.enter(r)) files.keep_best(stepper.model(), steps());
    stepper.observe(r.improved);
    log::info("epoch {}  step {}  train loss {:.6f}  {}  {} rows/s  {}{}", r.epoch, r.step, r.train_loss,
              metrics_line(r.metrics), human_count(r.rows_per_s), human_seconds(r.seconds), r.improved ? "  *" : "");
    log::info("  {}", profile_line(r.stages, r.rows));
    files.append_metrics(r);
    if (tracking) tracking->record(r);
    if (on_epoch) on_epoch(r);
  }

  void tell_unjudged() {
    EpochReport r;
    stretch.tell(r);
    log::info("epoch {}  step {}  train loss {:.6f}", epoch, steps(), r.train_loss);
    log::info("  {}", profile_line(r.stages, r.rows));
    stretch.begin();
  }

  bool stopping() const { return *stop_asked || due || judge.out_of_patience(); }

  /// Steps to the end of the pass, or until it is time to stop. Returns whether it came to the end.
  bool pass(Batches& batches, const Rows& rows) {
    batches.start(epoch, batch);
    stepper.ends_at(batches.steps(until));
    Progress progress(batches.once() ? "stream" : fmt::format("epoch {}/{}", epoch + 1, until), batches.rows());
    progress.skip(batch * options.batch_size);
    pace.begin(steps(), batches.steps(until));
    tell(FitProgress::Doing::training);
    clock.start();
    bool ended = batches.was_last(batch);
    for (Batch b; !stopping() && !ended && batches.next(b);) {
      const StepReport step = stepper.step(b);
      stretch.add(step);
      pace.add(step);
      changed = true;
      ended = batches.was_last(++batch);
      progress.also(step.tokens, "tokens");
      progress.add(step.rows, fmt::format("loss {:.4f}", step.loss));
      if (pace.is_due()) tell(FitProgress::Doing::training);
      if (ended) break;
      const auto at = [&](int64_t every) { return every > 0 && step.step % every == 0; };
      const bool judged = rows.valid && at(options.eval_every), saved = at(options.checkpoint_every);
      if (!judged && !saved) continue;
      stop_clock();
      if (judged) evaluate(rows);
      if (saved || (judged && !due && options.checkpoint_every == 0)) save();
      clock.start();
    }
    stop_clock();
    return ended || !stopping();
  }

  FitReport fit(Batches& batches, const Rows& rows) {
    begin(rows);
    until = begun + (batches.once() ? 1 : options.epochs);
    if (std::exchange(due, false) && rows.valid) evaluate(rows);
    while (epoch < until && !stopping()) {
      if (!pass(batches, rows)) break;
      ++epoch;
      batch = 0;
      if (!rows.valid) {
        tell_unjudged();
      } else if (!batches.once() || stretch.steps() > 0) {
        evaluate(rows);
      }
      if (options.checkpoint_every == 0 || steps() % options.checkpoint_every == 0) save();
    }
    return end(batches.once() ? "the stream has ended" : fmt::format("all {} epochs done", options.epochs));
  }

  FitReport end(const std::string& at_the_end) {
    FitReport report;
    report.interrupted = unfinished = due || (*stop_asked && !judge.out_of_patience() && epoch < until);
    save();
    if (report.interrupted) {
      *stop_asked = false;  // another fit() goes on
    } else {
      if (judge.best() < 0) files.keep_best(stepper.model(), steps());  // nothing was measured: these are the result
      files.load_best(stepper.model());
    }
    report.evaluations = judge.evaluations();
    report.best = judge.best();
    report.steps = steps();
    report.stages = stretch.stages();
    report.seconds = total(report.stages);
    report.rows_per_s = report.seconds > 0 ? double(stretch.rows()) / report.seconds : 0;
    report.tokens_per_s = report.seconds > 0 ? double(stretch.tokens()) / report.seconds : 0;
    report.stopped_by = report.interrupted        ? "interrupted"
                        : judge.out_of_patience() ? fmt::format("no improvement in {} evaluations", options.patience)
                                                  : at_the_end;
    return report;
  }

  FitReport fit(const Dataset& train, const Dataset* valid) {
    const auto batches = batches_of(train, options, stepper.seed());
    return fit(*batches, {train.schema(), &train, valid && valid->rows() > 0 ? valid : nullptr});
  }

  FitReport fit(const BatchStream& stream, const Schema& schema, const Dataset* valid) {
    const auto batches = batches_of(stream);
    return fit(*batches, {schema, nullptr, valid && valid->rows() > 0 ? valid : nullptr});
  }
};

Trainer::Trainer(Model& model, const Config& config, std::vector<std::string> labels)
    : state_(std::make_unique<State>(model, config, labels)) {}
Trainer::~Trainer() = default;

Config resolve_training(const Config& config) {
  TrainOptions options;
  read_options(options, config["train"], "train");
  options.loss = Objective::resolve(options.loss);
  options.schedule = schedules().resolve(options.schedule);
  check_metrics(options);  // now, not after an epoch
  Config out;
  out.set("train", write_options(options));
  out.set("optimizer", Optimizer::resolve(config["optimizer"]));
  out.set("seed", detail::to_config(config.get<int64_t>("seed", 1)));
  return out;
}

void Trainer::run_in(const fs::path& directory, bool resume) {
  state_->files.open(directory);
  state_->resume = resume;
}

void Trainer::track(Tracking& tracking, TrackedRun run) {
  state_->tracking = &tracking;
  state_->tracked = std::move(run);
}

void Trainer::on_epoch(std::function<void(const EpochReport&)> call) { state_->on_epoch = std::move(call); }
void Trainer::remember(std::string name, std::function<Config()> save, std::function<void(const Config&)> load) {
  INTERPLAY_CHECK(!state_->memories.contains(name), "Trainer::remember(): '{}' is taken; give another name", name);
  state_->memories[std::move(name)] = {std::move(save), std::move(load)};
}

FitReport Trainer::fit(const Dataset& train, const Dataset& valid) { return state_->fit(train, &valid); }
FitReport Trainer::fit(const Dataset& train) { return state_->fit(train, nullptr); }
FitReport Trainer::fit(const BatchStream& batches, const Dataset& valid) {
  return state_->fit(batches, valid.schema(), &valid);
}
FitReport Trainer::fit(const BatchStream& batches, const Schema& schema) {
  return state_->fit(batches, schema, nullptr);
}
double Trainer::step(const Batch& batch, const std::vector<std::string>& only) {
  return stepper().step(batch, only).loss;
}
void Trainer::stop() noexcept { *state_->stop_asked = true; }
std::function<void()> Trainer::stopper() const {
  return [flag = state_->stop_asked] { *flag = true; };
}
bool Trainer::stop_asked() const noexcept { return *state_->stop_asked; }
Stepper& Trainer::stepper() { return state_->stepper; }
Model& Trainer::model() { return stepper().model(); }
Optimizer& Trainer::optimizer() { return stepper().optimizer(); }
const TrainOptions& Trainer::options() const { return state_->options; }
uint64_t Trainer::seed() const { return state_->stepper.seed(); }

}  // namespace interplay
