// interplay train EXP.yaml --data DIR --out RUN: an experiment to a bundle.
#include <cmath>

#include <nlohmann/json.hpp>

#include <interplay/base/log.h>
#include <interplay/base/progress.h>
#include <interplay/train/run.h>

#include "command.h"

namespace interplay::tool {
namespace {

std::function<void()> add(CLI::App& app) {
  struct Arguments : ExperimentArguments {
    std::string init;
    bool print = false;
  };
  auto a = std::make_shared<Arguments>();
  a->add(app);
  app.add_flag("--resume", a->resume, "go on with the run in --out from its last checkpoint");
  app.add_option("--init", a->init, "start from the weights of this run, whose vocabularies the data extend");
  app.add_flag("--print-config", a->print, "print the experiment with every default, and do nothing");
  return [a, &app] {
    const Config experiment = a->load(app);
    if (a->print) {
      fmt::print("{}", resolve_experiment(experiment).yaml());
      return;
    }
    RunOptions options;
    options.data = a->data_of(experiment);
    options.out = a->out_of();
    options.resume = a->resume;
    options.test = !a->no_test;
    options.init = a->init;
    std::unique_ptr<OnInterrupt> interrupt;
    options.started = [&](Trainer& trainer) {
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
