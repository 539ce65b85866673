// interplay lm tune TASKS.yaml --out RUN: one decoder for tasks of embedding and of generation (RecFound).
#include <memory>

#include <interplay/base/progress.h>
#include <interplay/systems/recfound.h>

#include "lm.h"
#include "on_interrupt.h"

namespace interplay::tool::lm_tune_command {
namespace {

struct Arguments {
  std::string tasks, out;
  std::vector<std::string> sets;
  bool resume = false, print = false;
};

void run(const Arguments& a) {
  Config experiment = Config::load(a.tasks);
  set_all(experiment, a.sets);
  if (a.print) return fmt::print("{}", resolve_tune_file(experiment).yaml());
  INTERPLAY_CHECK(!a.out.empty(), "--out is required: the folder of the run");
  std::unique_ptr<OnInterrupt> interrupt;
  const TuneSummary s = tune_model(experiment, {a.out, a.resume, [&](std::function<void()> stop) {
                                                  interrupt = std::make_unique<OnInterrupt>(std::move(stop));
                                                }});
  std::vector<std::vector<std::string>> rows{{"task", "family", "rows learnt", "first loss", "last ratio"}};
  for (const auto& task : s.tasks) {
    const bool judged = task.first_loss > 0;
    rows.push_back({task.name, task.family, std::to_string(task.rows),
                    judged ? fmt::format("{:.4f}", task.first_loss) : "n/a",
                    judged ? fmt::format("{:.4f}", task.ratio) : "n/a"});
  }
  fmt::print("{}{}: {} parameters, {} steps, {} tokens, {} tokens/s, {}\n", table(rows), a.out,
             human_count(double(s.parameters)), s.steps, human_count(double(s.tokens)), human_count(s.tokens_per_s),
             human_seconds(s.seconds));
}

std::function<void()> add(CLI::App& app) {
  auto a = std::make_shared<Arguments>();
  app.add_option("TASKS", a->tasks, "model, tasks and how they are learnt (YAML; interplay help tune)")->required();
  app.add_option("--out", a->out, "folder of the run, which then stands for the tuned model");
  app.add_option("--set", a->sets, "KEY=VALUE on top of the file (may be given again)")->allow_extra_args(false);
  app.add_flag("--resume", a->resume, "go on with the run in --out from its last checkpoint");
  app.add_flag("--print-config", a->print, "print the file with every default, and do nothing");
  return [a] { run(*a); };
}

const AddCommand command("lm tune", "one decoder for tasks of vectors and of answers (RecFound)", add);

}  // namespace
}  // namespace interplay::tool::lm_tune_command
