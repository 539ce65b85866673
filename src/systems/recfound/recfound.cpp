#include <interplay/systems/recfound.h>

#include <atomic>
#include <chrono>
#include <cmath>
#include <limits>
#include <map>
#include <optional>

#include <ATen/ATen.h>
#include <ATen/Version.h>
#include <nlohmann/json.hpp>

#include <interplay/base/files.h>
#include <interplay/base/log.h>
#include <interplay/base/progress.h>
#include <interplay/core/bundle.h>
#include <interplay/core/generators.h>
#include <interplay/core/model.h>
#include <interplay/lm/model_files.h>
#include <interplay/optim/schedule.h>
#include <interplay/train/checkpoint.h>
#include <interplay/train/run_directory.h>

#include "systems/recfound/row_sampler.h"
#include "systems/recfound/tune_data.h"
#include "systems/recfound/tune_page.h"
#include "systems/recfound/tuned_run.h"

namespace fs = std::filesystem;

namespace interplay {
namespace {

using namespace recfound;
using Json = nlohmann::ordered_json;
using lm::TaskFamily;

constexpr const char* kLog = "train.log";

/// What the optimizer moves and a checkpoint holds: adapters and router, the decoder's own tensors.
class Learnt : public torch::nn::Module {
 public:
  explicit Learnt(const lm::TunedDecoder& model) {
    for (const auto& [name, weight] : model.weights()) {
      std::string own = name;
      std::replace(own.begin(), own.end(), '.', '/');  // torch's names of parameters have no dots
      register_parameter(own, weight);
    }
  }
};

/// What a task has had so far.
struct Learning {
  int64_t rows = 0, tokens = 0;
  int64_t now = 0;  ///< tokens, by this process
};

double learning_rate(const Schedule& schedule, double warmup, int64_t step, int64_t steps) {
  const double warm = std::ceil(warmup * double(steps));
  return (warm > 0 ? std::min(1.0, double(step) / warm) : 1.0) * schedule.factor(step, steps);
}

Config optimizer_of(const TuneOptions& o) {
  Config out;
  out.set_key("dense", o.optimizer);
  return out;
}

/// Throws where `out` cannot be begun, or gone on with.
DirectoryLock open_run(const Config& resolved, const TuneRun& run) {
  auto lock = lock_directory(run.out, run.resume, "run", "a run; go on with --resume, or give another --out");
  if (!run.resume) return lock;
  INTERPLAY_CHECK(!fs::exists(run.out / "manifest.json"), "{}: is finished; there is nothing to resume",
                  run.out.string());
  const std::string difference = first_difference(Config::load(run.out / Bundle::kConfig), resolved);
  INTERPLAY_CHECK(difference.empty(), "{}: {} differs from the run's config.yaml; begin anew with another --out",
                  run.out.string(), difference);
  return lock;
}

/// A run of `lm tune`, from its first step to its last.
class Tuning {
 public:
  Tuning(const Config& resolved, const TuneRun& run)
      : resolved_(resolved),
        o_(read_tune(resolved)),
        run_(run),
        tasks_(read_tasks(o_, resolved)),
        tokenizer_(lm::Tokenizer::load(lm::find_model(o_.lm))),
        data_(o_, tasks_, tokenizer_),
        model_(adapted_decoder(o_, tasks_)),
        learnt_(model_),
        optimizer_(learnt_, optimizer_of(o_)),
        schedule_(schedules().make(o_.schedule)) {
    INTERPLAY_CHECK(tokenizer_->end_id() >= 0, "lm: {} has no token that ends an answer", o_.lm);
    make_samplers();
    ratios_.assign(tasks_.size(), 1);
    learning_.resize(tasks_.size());
    first_losses_.assign(tasks_.size(), 0);
  }

  TuneSummary run() {
    const auto begun = std::chrono::steady_clock::now();
    const DirectoryLock lock = open_run(resolved_, run_);
    write_file(run_.out / Bundle::kConfig, resolved_.yaml());
    const log::File log_file(run_.out / kLog);
    tell_beginning();
    if (!run_.resume || !restore()) begin();
    if (run_.started) run_.started([flag = stop_] { *flag = true; });
    learn();
    TuneSummary out = summary();
    out.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count();
    finish(out);
    return out;
  }

 private:
  void make_samplers() {
    std::vector<int64_t> families;
    std::vector<double> sizes;
    for (const auto family : {TaskFamily::embedding, TaskFamily::generation}) {
      std::vector<int64_t> which, rows;
      for (size_t t = 0; t < tasks_.size(); ++t) {
        if (tasks_[t].family() != family) continue;
        which.push_back(int64_t(t)), rows.push_back(data_.rows(t));
      }
      if (which.empty()) continue;
      of_family_.push_back(which);
      samplers_.emplace_back(which, rows, uint64_t(o_.seed) * 2 + uint64_t(family));
    }
    for (size_t t = 0; t < tasks_.size(); ++t) {
      sizes.push_back(double(data_.rows(t)));
      families.push_back(of_family_.size() == 1 || tasks_[t].embeds() ? 0 : 1);
    }
    scheduler_.emplace(families, sizes, o_.sampling);
  }

  void tell_beginning() const {
    log::info("{} tasks, {} of embedding; {} learns {} weights in adapters of rank {}{}; {} threads, {}", tasks_.size(),
              std::count_if(tasks_.begin(), tasks_.end(), [](const Task& t) { return t.embeds(); }), o_.lm,
              human_count(double(parameter_count(learnt_))), model_.decoder()->adapter_options()->rank,
              model_.has_experts() ? fmt::format(", {} experts", model_.decoder()->adapter_options()->experts)
                                   : std::string(),
              at::get_num_threads(), nn::to_string(nn::parse_precision(o_.precision)));
    if (data_.cut() > 0)
      log::info("{} of the texts that ratios are of lose their end (max_tokens, passage_tokens)", data_.cut());
  }

  void begin() {
    for (size_t t = 0; t < tasks_.size(); ++t) first_losses_[t] = measure(t);
    write_file(run_.out / kMetricsFile, "");
    save_snapshot(run_.out, 0, model_);
  }

  /// Mean loss of a task's valid rows; 0 where it has none.
  double measure(size_t task) {
    if (!data_.is_watched(task)) return 0;
    const at::NoGradGuard off;
    model_.decoder()->eval();
    return tasks_[task].embeds() ? vector_loss(model_, data_.valid_queries(task), losses(), 0)
                                 : answer_loss(model_, data_.valid_prompts(task), losses(), 0);
  }

  LossOptions losses() const { return {o_.temperature, o_.batch.chunk}; }

  std::vector<RowPlace> choose(size_t family) {
    const bool embeds = tasks_[size_t(of_family_[family][0])].embeds();
    const int64_t budget = embeds ? o_.batch.embedding : o_.batch.generation;
    if (o_.sampling.by == "size") return samplers_[family].next(budget);
    std::vector<double> weights;
    for (const int64_t t : of_family_[family]) weights.push_back(scheduler_->decision().weights[size_t(t)]);
    return samplers_[family].next(budget, o_.sampling.keep, weights);
  }

  /// One step on rows of both families; a line of metrics.jsonl.
  Json step(int64_t number) {
    model_.decoder()->train();
    Json rows = Json::object(), loss = Json::object();
    int64_t read = 0;
    for (const auto& task : tasks_) rows[task.name()] = 0;
    for (size_t f = 0; f < samplers_.size(); ++f) {
      std::vector<QueryTexts> queries;
      std::vector<PromptTokens> prompts;
      for (const auto& [task, row] : choose(f)) {
        int64_t tokens = 0;
        if (tasks_[size_t(task)].embeds()) {
          queries.push_back(data_.query(task, row, number, int64_t(queries.size())));
          tokens = tokens_of(queries.back());
        } else {
          prompts.push_back(data_.prompt(task, row));
          tokens = tokens_of(prompts.back());
        }
        auto& had = learning_[size_t(task)];
        ++had.rows, had.tokens += tokens, had.now += tokens, read += tokens;
        rows[tasks_[size_t(task)].name()] = rows[tasks_[size_t(task)].name()].get<int64_t>() + 1;
      }
      if (!queries.empty()) loss["embedding"] = vector_loss(model_, queries, losses(), 1);
      if (!prompts.empty()) loss["generation"] = answer_loss(model_, prompts, losses(), o_.generation_weight);
    }
    const double factor = learning_rate(*schedule_, o_.warmup, number, o_.steps);
    const double norm = optimizer_.step({.lr_factor = factor, .clip_norm = o_.clip_norm});
    return {{"step", number},
            {"loss", loss},
            {"rows", rows},
            {"tokens", read},
            {"lr", factor * optimizer_.lr("dense")},
            {"gradient_norm", norm},
            {"weights", Json()},
            {"ratios", Json()}};
  }

  /// Ratios of the tasks whose turn it is.
  void watch_losses(int64_t number) {
    std::vector<double> now(tasks_.size(), std::numeric_limits<double>::quiet_NaN());
    const auto n = int64_t(tasks_.size());
    const int64_t turns = std::min(o_.sampling.valid_batches, n);
    for (int64_t k = 0; k < turns; ++k) {
      const auto t = size_t(((number - 1) * turns + k) % n);
      if (!data_.is_watched(t)) continue;
      now[t] = first_losses_[t] > 0 ? measure(t) / first_losses_[t] : 1;
      ratios_[t] = now[t];
    }
    scheduler_->add(now);
  }

  void learn() {
    Progress progress("tune", o_.steps, "steps");
    progress.skip(done());
    OutputFile metrics(run_.out / kMetricsFile, OutputFile::Mode::append);
    while (done() < o_.steps) {
      const int64_t number = done() + 1;
      Json weights = by_name(scheduler_->decision().weights);
      const auto begun = std::chrono::steady_clock::now();
      Json line = step(number);
      seconds_ += std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count();
      watch_losses(number);
      if (o_.sampling.by == "s2sched") line["weights"] = std::move(weights);
      line["ratios"] = by_name(ratios_);
      metrics.write(line.dump() + "\n");
      const auto tokens = line["tokens"].get<int64_t>();
      tokens_ += tokens;
      progress.also(tokens, "tokens");
      progress.add(1, told(line["loss"]));
      const bool due = done() % o_.checkpoint_every == 0 || done() == o_.steps;
      const bool stopped = *stop_ && done() < o_.steps;
      if (!due && !stopped) continue;
      metrics.sync();
      if (due) save_snapshot(run_.out, done(), model_);
      save_checkpoint(run_.out, learnt_, optimizer_, state().dump(1));
      tell_tasks(line["loss"]);
      if (stopped) {
        throw Error(fmt::format("interrupted at step {}; a checkpoint is written, go on with --resume", done()),
                    ErrorKind::interrupted);
      }
    }
    metrics.close();
  }

  int64_t done() const { return optimizer_.steps(); }

  Json by_name(const std::vector<double>& values) const {
    Json out = Json::object();
    for (size_t t = 0; t < tasks_.size(); ++t) out[tasks_[t].name()] = values[t];
    return out;
  }

  static std::string told(const Json& loss) {
    std::string out = "loss";
    for (const auto& [family, value] : loss.items()) out += fmt::format(" {} {:.4f}", family, value.get<double>());
    return out;
  }

  void tell_tasks(const Json& loss) const {
    log::info("step {}  {}  {} tokens/s", done(), told(loss), human_count(double(tokens_) / std::max(seconds_, 1e-9)));
    for (size_t t = 0; t < tasks_.size(); ++t) {
      const auto& had = learning_[t];
      log::info("  {}: {} rows, {} tokens, {} tokens/s, validation ratio {:.3f}", tasks_[t].name(), had.rows,
                human_count(double(had.tokens)), human_count(double(had.now) / std::max(seconds_, 1e-9)), ratios_[t]);
    }
  }
  int64_t all_tokens() const {
    int64_t sum = 0;
    for (const auto& had : learning_) sum += had.tokens;
    return sum;
  }

  Json state() const {
    Json samplers = Json::array(), learning = Json::array();
    for (const auto& s : samplers_) samplers.push_back({{"drawn", s.drawn()}, {"used", s.used()}});
    for (const auto& had : learning_) learning.push_back({had.rows, had.tokens});
    return {{"step", done()},
            {"tasks", fmt::format("{:016x}", data_.checksum())},
            {"samplers", samplers},
            {"learnt", learning},
            {"first_losses", first_losses_},
            {"ratios", scheduler_->ratios()},
            {"threads", at::get_num_threads()},
            {"kernels", at::get_cpu_capability()},
            {"precision", nn::to_string(nn::parse_precision(o_.precision))}};
  }

  /// False where there is no checkpoint yet.
  bool restore() {
    const std::string text = load_checkpoint(run_.out, learnt_, optimizer_);
    if (text.empty()) {
      log::info("there is no checkpoint yet; tuning begins anew");
      return false;
    }
    try {
      restore(Json::parse(text));
    } catch (const Json::exception& problem) {
      throw Error(fmt::format("{}: the state.json of its checkpoint is not the state of a run of lm tune ({})",
                              run_.out.string(), problem.what()),
                  ErrorKind::data);
    }
    keep_metrics();
    log::info("resumed at step {}", done());
    return true;
  }

  void restore(const Json& s) {
    INTERPLAY_CHECK_DATA(s.at("tasks") == fmt::format("{:016x}", data_.checksum()),
                         "{}: was begun with other rows of its tasks; resume with those", run_.out.string());
    INTERPLAY_CHECK_DATA(s.at("samplers").size() == samplers_.size() && s.at("learnt").size() == tasks_.size() &&
                             s.at("first_losses").size() == tasks_.size() && s.at("ratios").size() == size_t(done()),
                         "{}: the state.json of its checkpoint is of other tasks, or of another step",
                         run_.out.string());
    for (size_t i = 0; i < samplers_.size(); ++i) {
      const auto& one = s.at("samplers")[i];
      samplers_[i].restore(one.at("drawn"), one.at("used"));
    }
    for (size_t t = 0; t < tasks_.size(); ++t)
      learning_[t] = {s.at("learnt")[t].at(0).get<int64_t>(), s.at("learnt")[t].at(1).get<int64_t>(), 0};
    first_losses_ = s.at("first_losses").get<std::vector<double>>();
    for (const auto& ratios : s.at("ratios")) {
      const auto now = ratios.get<std::vector<double>>();
      INTERPLAY_CHECK_DATA(now.size() == tasks_.size(),
                           "{}: the state.json of its checkpoint has {} ratios for {} tasks", run_.out.string(),
                           now.size(), tasks_.size());
      scheduler_->add(now);
      ratios_ = now;
    }
    warn_of_other(
        {s.at("threads").get<int>(), s.at("kernels").get<std::string>(), s.at("precision").get<std::string>()},
        Computing::now(nn::to_string(nn::parse_precision(o_.precision))));
  }

  /// Of metrics.jsonl what was before the checkpoint: the rest will be measured again.
  void keep_metrics() const {
    const fs::path file = run_.out / kMetricsFile;
    const std::string all = read_file(file);
    size_t end = 0;
    for (int64_t line = 0; line < done(); ++line) {
      end = all.find('\n', end);
      INTERPLAY_CHECK_DATA(end != all.npos,
                           "{}: has {} lines; its checkpoint is of step {}; begin anew with another --out",
                           file.string(), line, done());
      ++end;
    }
    write_file(file, std::string_view(all).substr(0, end));
  }

  TuneSummary summary() const {
    TuneSummary out;
    out.steps = done();
    out.parameters = parameter_count(learnt_);
    out.tokens = all_tokens();
    out.tokens_per_s = double(tokens_) / std::max(seconds_, 1e-9);
    for (size_t t = 0; t < tasks_.size(); ++t) {
      out.tasks.push_back(
          {tasks_[t].name(), lm::to_string(tasks_[t].family()), learning_[t].rows, first_losses_[t], ratios_[t]});
      out.rows += learning_[t].rows;
    }
    return out;
  }

  void finish(const TuneSummary& s) {
    model_.save(run_.out);
    folder_of(o_, tasks_, run_.out).save();
    Json tasks = Json::array();
    for (const auto& task : s.tasks)
      tasks.push_back({{"name", task.name},
                       {"family", task.family},
                       {"rows", task.rows},
                       {"first_loss", task.first_loss},
                       {"ratio", task.ratio}});
    const Json json{{"steps", s.steps},
                    {"parameters", s.parameters},
                    {"rows", s.rows},
                    {"tokens", s.tokens},
                    {"tokens_per_s", std::round(s.tokens_per_s)},
                    {"seconds", s.seconds},
                    {"tasks", tasks}};
    write_file(run_.out / kSummaryFile, json.dump(1) + "\n");
    write_file(run_.out / kPageFile,
               tune_page(run_.out.filename().string(), resolved_, tasks_, model_, read_file(run_.out / kMetricsFile)));
    finish_bundle(run_.out);
  }

  Config resolved_;
  TuneOptions o_;
  TuneRun run_;
  std::vector<Task> tasks_;
  std::shared_ptr<const lm::Tokenizer> tokenizer_;
  TuneData data_;
  lm::TunedDecoder model_;
  Learnt learnt_;
  Optimizer optimizer_;
  std::shared_ptr<Schedule> schedule_;
  std::shared_ptr<std::atomic<bool>> stop_ = std::make_shared<std::atomic<bool>>(false);

  std::vector<std::vector<int64_t>> of_family_;  // tasks of each family that there is
  std::vector<RowSampler> samplers_;             // by family
  std::optional<S2Scheduler> scheduler_;
  std::vector<double> first_losses_, ratios_;  // by task
  std::vector<Learning> learning_;
  int64_t tokens_ = 0;  // learnt by this process
  double seconds_ = 0;  // of its steps, validation aside
};

}  // namespace

Config resolve_tune_file(const Config& experiment) { return resolve_tune(experiment); }

TuneSummary tune_model(const Config& experiment, const TuneRun& run) {
  const Config resolved = resolve_tune(experiment);
  const KeptGenerators kept;
  at::manual_seed(uint64_t(resolved["seed"].as<int64_t>()));
  return Tuning(resolved, run).run();
}

}  // namespace interplay
