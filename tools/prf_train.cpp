// interplay prf train EXP.yaml --out RUN: networks that read what a query finds and choose terms for it.
#include <interplay/base/progress.h>
#include <interplay/systems/qa4prf.h>

#include "command.h"
#include "on_interrupt.h"

namespace interplay::tool::prf_train_command {
namespace {

struct Arguments {
  std::string experiment, out;
  std::vector<std::string> sets;
  int64_t seed = -1;
  bool resume = false;
};

void run(const Arguments& a) {
  Config experiment = Config::load(a.experiment);
  for (const auto& assignment : a.sets) {
    experiment.set(assignment);
    for (const char* file : {"index", "queries", "qrels"}) {  // typed here, and so relative to here
      if (!assignment.starts_with(fmt::format("{}=", file))) continue;
      const auto path = std::filesystem::absolute(experiment[file].as<std::string>());
      experiment.set(file, Config::scalar(path.string(), true));
    }
  }
  if (a.seed >= 0) experiment.set("seed", Config::scalar(std::to_string(a.seed)));
  std::unique_ptr<OnInterrupt> interrupt;
  PrfRun options{a.out, a.resume};
  options.started = [&](std::function<void()> stop) { interrupt = std::make_unique<OnInterrupt>(std::move(stop)); };
  const PrfSummary s = train_qa4prf(experiment, options);
  std::vector<std::vector<std::string>> rows{{"method", "MAP"}};
  for (const char* method : {"first", "rm3", "bo1", "qa4prf"})
    rows.push_back({method, fmt::format("{:.4f}", s.map.at(method))});
  fmt::print("{}{}: {} of {} queries have judgements, {} parameters a fold, {} pairs/s, {}, peak memory {}\n",
             table(rows), a.out, s.judged, s.queries, human_count(double(s.parameters)), human_count(s.pairs_per_s),
             human_seconds(s.seconds), human_bytes(double(s.peak_bytes)));
}

std::function<void()> add(CLI::App& app) {
  auto a = std::make_shared<Arguments>();
  app.add_option("EXP", a->experiment, "experiment: index, queries, qrels ... (interplay help qa4prf)")->required();
  app.add_option("--out", a->out, "run directory to make")->required();
  app.add_option("--set", a->sets, "KEY=VALUE on top of the file (may be given again)")->allow_extra_args(false);
  app.add_option("--seed", a->seed, "on top of the file")->check(at_least(0));
  app.add_flag("--resume", a->resume, "go on with the run in --out behind its last finished pass");
  return [a] { run(*a); };
}

const AddCommand command("prf train", "learn which terms of what a query finds belong into it (QA4PRF)", add);

}  // namespace
}  // namespace interplay::tool::prf_train_command
