// interplay lm prompts EXP.yaml: prepared rows with the prompts that a language model reads of them (ReLLa).
#include <nlohmann/json.hpp>

#include <interplay/systems/prompt_data.h>

#include "lm.h"

namespace interplay::tool::lm_prompts_command {
namespace {

struct Arguments {
  std::string experiment, data, retrieved, out;
  std::vector<std::string> sets;
  PromptDataOptions options;
  bool force = false, json = false;
};

void run(const Arguments& a, int threads) {
  Config experiment = Config::load(a.experiment);
  set_all(experiment, a.sets);
  check_out(a.out, a.force);
  const Rella rella(experiment, threads);
  const auto report = write_prompt_data(rella, a.retrieved, a.data, a.out, a.options);
  if (a.json) {
    const nlohmann::ordered_json out = {{"train", report.train},     {"valid", report.valid},
                                        {"test", report.test},       {"mean_tokens", report.mean_tokens},
                                        {"longest", report.longest}, {"example", report.example}};
    fmt::print("{}\n", out.dump(1));
    return;
  }
  fmt::print(
      "A prompt with what was retrieved:\n\n{}\n\n{}: {} train, {} valid, {} test rows; {:.0f} tokens a prompt, {} at "
      "most\n",
      report.example, a.out, report.train, report.valid, report.test, report.mean_tokens, report.longest);
}

std::function<void()> add(CLI::App& app) {
  auto a = std::make_shared<Arguments>();
  PromptDataOptions& o = a->options;
  app.add_option("EXP", a->experiment, "what prompts say (YAML), as configs/ml-1m/prompts.yaml")->required();
  app.add_option("--data", a->data, "prepared data of the same data.yaml")->required();
  app.add_option("--retrieved", a->retrieved, "what `interplay lm retrieve --out` wrote")->required();
  app.add_option("--out", a->out, "where the data with prompts go")->required();
  app.add_option("--model", o.model, "whose tokens they are: a fetched name or a path")->capture_default_str();
  app.add_option("--length", o.length, "events that a prompt tells (K)")->capture_default_str()->check(at_least(1));
  app.add_option("--max-tokens", o.max_tokens, "of a prompt; whole events are left out of longer ones. 0 = any number")
      ->capture_default_str()
      ->check(at_least(0));
  app.add_flag("--vectors", o.vectors,
               "places for vectors of items ({vector}), and the events as sequences: what model rellax reads");
  app.add_option("--history-length", o.history_length, "with --vectors, events of these sequences")
      ->capture_default_str()
      ->check(at_least(1));
  app.add_option("--train", o.train, "training rows (N), drawn by seed; 0 = none")
      ->capture_default_str()
      ->check(at_least(0));
  app.add_option("--valid", o.valid, "valid rows")->capture_default_str()->check(at_least(0));
  app.add_option("--test", o.test, "test rows")->capture_default_str()->check(at_least(0));
  app.add_option("--seed", o.seed, "of the draw; fewer rows are the first drawn of more")
      ->capture_default_str()
      ->check(at_least(0));
  app.add_option("--set", a->sets, "KEY=VALUE on top of the file (may be given again)")->allow_extra_args(false);
  app.add_flag("--force", a->force, "replace --out if it exists");
  app.add_flag("--json", a->json, "for machines");
  return [a, &app] { run(*a, threads_of(app)); };
}

const AddCommand command("lm prompts", "prepared rows with the prompts that model rella reads", add);

}  // namespace
}  // namespace interplay::tool::lm_prompts_command
