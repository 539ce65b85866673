// interplay train EXP.yaml --data DIR --out RUN: an experiment to a bundle.
#include <cmath>
#include <filesystem>
#include <utility>

#include <unistd.h>

#include <nlohmann/json.hpp>

#include <interplay/base/log.h>
#include <interplay/base/progress.h>
#include <interplay/core/bundle.h>
#include <interplay/train/run.h>

#include "command.h"

namespace fs = std::filesystem;

namespace interplay::tool {
namespace {

/// The run that --force replaces: set aside until the new one begins, and put back where that is refused.
class ReplacedRun {
 public:
  ReplacedRun(const fs::path& out, bool force, const std::string& init) : out_(out) {
    if (!force || !fs::exists(out / Bundle::kConfig)) return;
    std::error_code ignored;
    INTERPLAY_CHECK(init.empty() || !fs::equivalent(init, out, ignored),
                    "--init {}: is the run that --force replaces; give another --out", init);
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

std::function<void()> add(CLI::App& app) {
  struct Arguments : ExperimentArguments {
    std::string init;
    bool print = false, force = false;
  };
  auto a = std::make_shared<Arguments>();
  a->add(app);
  app.add_flag("--resume", a->resume, "go on with the run in --out from its last checkpoint");
  app.add_flag("--force", a->force, "begin anew in --out: replace the run that is there");
  app.add_option("--init", a->init, "start from the weights of this run, whose vocabularies the data extend");
  app.add_flag("--print-config", a->print, "print the experiment with every default, and do nothing");
  return [a, &app] {
    const Config experiment = a->load(app);
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
    options.init = a->init;
    INTERPLAY_CHECK(!a->force || !a->resume, "--force begins anew, --resume goes on; leave one away");
    ReplacedRun replaced(options.out, a->force, a->init);
    std::unique_ptr<OnInterrupt> interrupt;
    options.started = [&](Trainer& trainer) {
      replaced.drop();
      interrupt = std::make_unique<OnInterrupt>([&trainer] { trainer.stop(); });
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
}  // namespace interplay::tool
