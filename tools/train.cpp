// interplay train EXP.yaml --data DIR --out RUN: an experiment to a bundle.
#include <cmath>
#include <filesystem>
#include <utility>

#include <unistd.h>

#include <nlohmann/json.hpp>

#include <interplay/base/log.h>
#include <interplay/base/progress.h>
#include <interplay/core/bundle.h>
#include <interplay/core/warm_start.h>
#include <interplay/train/report.h>
#include <interplay/train/run.h>

#include "brief_explanation.h"
#include "command.h"
#include "on_interrupt.h"

namespace fs = std::filesystem;

namespace interplay::tool::train_command {
namespace {

/// The run that --force replaces: set aside until the new one begins, and put back where that is refused.
class ReplacedRun {
 public:
  ReplacedRun(const fs::path& out, bool force, const Config& init) : out_(out) {
    if (!force || !fs::exists(out / Bundle::kConfig)) return;
    std::error_code ignored;
    for (const auto& run : init.is_map() ? init.keys() : std::vector<std::string>()) {
      INTERPLAY_CHECK(!fs::equivalent(RunPart::parse(run).run, out, ignored),
                      "--init {}: is the run that --force replaces; give another --out", run);
    }
    fs::path folder = fs::absolute(out).lexically_normal();
    if (!folder.has_filename()) folder = folder.parent_path();
    aside_ = folder.parent_path() / fmt::format(".{}.replaced.{}", folder.filename().string(), ::getpid());
    fs::rename(folder, aside_);
  }
  ~ReplacedRun() {
    std::error_code ignored;
    if (!aside_.empty() && !fs::exists(out_)) fs::rename(aside_, out_, ignored);
  }
  ReplacedRun(const ReplacedRun&) = delete;
  ReplacedRun& operator=(const ReplacedRun&) = delete;
  void drop() {
    if (!aside_.empty()) fs::remove_all(std::exchange(aside_, {}));
  }

 private:
  fs::path out_, aside_;
};

Config init_of(const std::vector<std::string>& words) {
  Config out;
  for (const auto& word : words) {
    const size_t equals = fs::exists(word) ? word.npos : word.rfind('=');  // a folder may have one in its name
    out.set_key(word.substr(0, equals), Config::scalar(equals == word.npos ? "" : word.substr(equals + 1), true));
  }
  return out;
}

std::function<void()> add(CLI::App& app) {
  struct Arguments : ExperimentArguments {
    std::vector<std::string> init;
    bool print = false, force = false;
    double explain_seconds = 5;
  };
  auto a = std::make_shared<Arguments>();
  a->add(app);
  app.add_flag("--resume", a->resume, "go on with the run in --out from its last checkpoint");
  app.add_flag("--force", a->force, "begin anew in --out: replace the run that is there");
  app.add_option("--init", a->init,
                 "RUN or RUN=PART: begin with the weights of this run, whose vocabularies the data extend; PART is the "
                 "part of the model that they are (may be given again); RUN:PART takes a part of the run")
      ->allow_extra_args(false);
  app.add_option("--explain-seconds", a->explain_seconds,
                 "that the report may take to find out which fields count and where the run does worst; 0 = none")
      ->capture_default_str()
      ->check(CLI::Range(0.0, 86400.0));
  app.add_flag("--print-config", a->print, "print the experiment with every default, and do nothing");
  return [a, &app] {
    Config experiment = a->load(app);
    if (!a->init.empty()) experiment.set_key("init", init_of(a->init));
    if (a->print) {
      fmt::print("{}", resolve_experiment(experiment).yaml());
      return;
    }
    use_threads(experiment);
    RunOptions options;
    options.data = a->data_of(experiment);
    options.out = a->out_of();
    options.resume = a->resume;
    options.test = !a->no_test;
    INTERPLAY_CHECK(!a->force || !a->resume, "--force begins anew, --resume goes on; leave one away");
    ReplacedRun replaced(options.out, a->force, resolve_experiment(experiment)["init"]);
    std::unique_ptr<OnInterrupt> interrupt;
    options.started = [&](Trainer& trainer) {
      replaced.drop();
      interrupt = std::make_unique<OnInterrupt>(trainer.stopper());
    };
    options.report = [&](RunReport& report) {
      report.explanation = brief_explanation(report, {options.out, options.data, a->explain_seconds});
    };
    const RunSummary s = train_run(experiment, options);
    if (!s.valid.empty()) fmt::print("valid {}\n", metrics_line(s.valid));
    if (!s.test.empty()) fmt::print("test  {}\n", metrics_line(s.test));
    fmt::print("{}: {} parameters, {} rows/s, {}, peak memory {}\n", a->out, human_count(double(s.parameters)),
               human_count(s.fit.rows_per_s), human_seconds(s.seconds), human_bytes(double(s.peak_bytes)));
  };
}

const AddCommand command("train", "train a model on prepared data", add);

}  // namespace
}  // namespace interplay::tool::train_command
