// interplay ablate EXP.yaml --data DIR --drop FIELD | --each: does a field help?
#include <algorithm>
#include <sstream>

#include <interplay/base/files.h>
#include <interplay/explain/ablation.h>

#include "command.h"
#include "on_interrupt.h"

namespace interplay::tool::ablate_command {
namespace {

std::string range(const Interval& i) { return fmt::format("{:+.5f} to {:+.5f}", i.low, i.high); }

void print_result(const Ablation& a) {
  fmt::print("{} split, {} rows, seeds {}\n{} with all fields: AUC {:.5f}, logloss {:.5f}\n\n", a.split, a.rows,
             fmt::join(a.seeds, ", "), a.model, a.auc, a.logloss);
  std::vector<std::vector<std::string>> rows{
      {"field", "does it help?", "AUC added", "95% interval", "logloss saved", "95% interval"}};
  for (const auto& v : a.values)
    rows.push_back({fmt::format("{}", fmt::join(v.fields, " + ")), does_it_help(v), fmt::format("{:+.5f}", v.auc.value),
                    range(v.auc), fmt::format("{:+.5f}", v.logloss.value), range(v.logloss)});
  fmt::print("{}", table(rows));
  for (const auto& n : a.not_asked) fmt::print("{} is not asked about: {}\n", n.field, n.why);
  if (a.seeds.size() == 1) fmt::print("one seed: the intervals are of rows alone; give several, --seeds 1,2,3\n");
}

/// The answer in words, where one question was asked.
void print_answer(const Ablation& a) {
  const FieldValue& v = a.values.front();
  const auto fields = fmt::format("{}", fmt::join(v.fields, " + "));
  fmt::print("\nDoes {} help? {}: with {} the AUC is {:.5f} {} (95% interval {}), the log loss {:.5f} {} ({})\n",
             fields, does_it_help(v), v.fields.size() == 1 ? "it" : "them", std::abs(v.auc.value),
             v.auc.value < 0 ? "lower" : "higher", range(v.auc), std::abs(v.logloss.value),
             v.logloss.value < 0 ? "higher" : "lower", range(v.logloss));
}

std::function<void()> add(CLI::App& app) {
  struct Arguments : ExperimentArguments {
    std::vector<std::string> drop;
    std::vector<int64_t> seeds = {1, 2, 3};
    std::string label;
    int64_t replicates = 1000;
    bool each = false, json = false;
  };
  auto a = std::make_shared<Arguments>();
  a->add(app);
  app.add_option("--drop", a->drop,
                 "field to leave out (may be given again, each is a question of its own; a,b: these two together)")
      ->allow_extra_args(false);
  app.add_flag("--each", a->each, "ask about each field");
  app.add_option("--seeds", a->seeds, "a run with and one without for each, as 1,2,3")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->capture_default_str();
  app.add_option("--label", a->label, "of several labels, the one that is judged");
  app.add_option("--replicates", a->replicates, "of the bootstrap that intervals are made of")
      ->capture_default_str()
      ->check(at_least(2));
  app.add_flag("--resume", a->resume, "go on with --out: finished runs stay; seeds and fields may be added");
  app.add_flag("--json", a->json, "print ablate.json");
  return [a, &app] {
    INTERPLAY_CHECK(a->each || !a->drop.empty(),
                    "say what is left out: --drop FIELD, or --each for every field by itself");
    INTERPLAY_CHECK(!a->each || a->drop.empty(),
                    "--drop and --each: every field is asked about already; leave one of the two away");
    INTERPLAY_CHECK(a->seed < 0, "--seed: an ablation takes several; say --seeds {}", a->seed);
    const Config experiment = a->load(app);
    use_threads(experiment);
    AblationOptions options{.data = a->data_of(experiment), .out = a->out_of()};
    for (const auto& set : a->drop) {
      std::vector<std::string>& names = options.drop.emplace_back();
      std::istringstream words(set);
      for (std::string name; std::getline(words, name, ',');) names.push_back(name);
      INTERPLAY_CHECK(!names.empty(), "--drop: names no field");
    }
    options.seeds = a->seeds, options.label = a->label, options.replicates = a->replicates;
    options.test = !a->no_test, options.resume = a->resume;
    std::unique_ptr<OnInterrupt> interrupt;
    options.started = [&](Trainer& trainer) { interrupt = std::make_unique<OnInterrupt>(trainer.stopper()); };
    options.finished = [&](Trainer&) { interrupt.reset(); };
    const Ablation result = ablate(experiment, options);
    if (a->json) {
      fmt::print("{}", read_file(options.out / "ablate.json"));
      return;
    }
    print_result(result);
    if (result.values.size() == 1) print_answer(result);
    fmt::print("see {}/ablate.html\n", a->out);
  };
}

const AddCommand command("ablate", "train with and without a field: does it help?", add);

}  // namespace
}  // namespace interplay::tool::ablate_command
