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
  struct Arguments {
    std::string experiment, data, out, init;
    std::vector<std::string> sets;
    int64_t seed = -1;
    bool no_test = false;
    bool resume = false, print = false;
  };
  auto a = std::make_shared<Arguments>();
  app.add_option("EXPERIMENT", a->experiment, "experiment file: model, train, optimizer, seed")->required();
  app.add_option("--data", a->data, "prepared data; the file's `data:` by default");
  app.add_option("--out", a->out, "run directory to make");
  app.add_option("--set", a->sets, "KEY=VALUE, as train.epochs=3, on top of the file (may be given again)")
      ->allow_extra_args(false);
  app.add_flag("--no-test", a->no_test, "do not look at the test split: for choosing hyper-parameters");
  app.add_option("--seed", a->seed, "on top of the file");
  app.add_flag("--resume", a->resume, "go on with the run in --out from its last checkpoint");
  app.add_option("--init", a->init, "start from the weights of this run, whose vocabularies the data extend");
  app.add_flag("--print-config", a->print, "print the experiment with every default, and do nothing");
  return [a, &app] {
    Config experiment = load_experiment(a->experiment, a->sets, a->seed);
    const auto* const threads = app.get_parent()->get_option("--threads");
    if (threads->count() > 0 && threads->as<int>() > 0)
      experiment.set("threads", Config::scalar(threads->as<std::string>()));
    if (a->print) {
      fmt::print("{}", resolve_experiment(experiment).yaml());
      return;
    }
    INTERPLAY_CHECK(!a->data.empty() || experiment.has("data"),
                    "--data DIR is required: the prepared data (or `data:` in {})", a->experiment);
    RunOptions options;
    options.data = a->data.empty() ? experiment["data"].as<std::string>() : a->data;
    INTERPLAY_CHECK(!a->out.empty(), "--out RUN is required: the directory in which the run is kept");
    options.out = a->out;
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
