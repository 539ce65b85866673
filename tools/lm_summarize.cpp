// interplay lm summarize EXP.yaml --data DIR --out DIR2: what partitions of users' histories tell of them (LIBER).
#include <nlohmann/json.hpp>

#include <interplay/base/progress.h>
#include <interplay/systems/liber.h>

#include "lm.h"

namespace interplay::tool::lm_summarize_command {
namespace {

struct Arguments {
  std::string experiment, data, out;
  std::vector<std::string> sets;
  bool json = false;
};

void run(const Arguments& a, int threads) {
  Config experiment = Config::load(a.experiment);
  set_all(experiment, a.sets);
  const LiberReport r = summarize_partitions(experiment, a.data, a.out, threads);
  if (a.json) {
    const nlohmann::ordered_json out = {{"users", r.users},
                                        {"events", r.events},
                                        {"partitions", r.partitions},
                                        {"shifts", r.shifts},
                                        {"said_now", r.said_now},
                                        {"calls", r.cost.calls},
                                        {"tokens_read", r.cost.tokens_read},
                                        {"tokens_written", r.cost.tokens_written},
                                        {"tokens_of_events", r.cost.tokens_of_events},
                                        {"tokens_of_frames", r.cost.tokens_of_frames},
                                        {"vector_width", r.vector_width},
                                        {"example", r.example}};
    fmt::print("{}\n", out.dump(1));
    return;
  }
  if (!r.example.empty()) fmt::print("{}\n\n", r.example);
  fmt::print("{}",
             table({{"users", "events", "partitions", "with a shift", "said now", "calls", "tokens read", "written"},
                    {std::to_string(r.users), std::to_string(r.events), std::to_string(r.partitions),
                     std::to_string(r.shifts), std::to_string(r.said_now), std::to_string(r.cost.calls),
                     std::to_string(r.cost.tokens_read), std::to_string(r.cost.tokens_written)}}));
  fmt::print("{}: texts in partitions.parquet{}\n", a.out,
             r.vector_width > 0 ? fmt::format(", their vectors ({} numbers) in vectors.parquet", r.vector_width) : "");
}

std::function<void()> add(CLI::App& app) {
  auto a = std::make_shared<Arguments>();
  app.add_option("EXP", a->experiment, "who says what of which partitions (YAML), as configs/ml-1m/liber.yaml")
      ->required();
  app.add_option("--data", a->data, "prepared data with a field of kind partitions")->required();
  app.add_option("--out", a->out, "folder for texts and vectors; what is there already is not asked again")->required();
  app.add_option("--set", a->sets, "KEY=VALUE on top of the file (may be given again)")->allow_extra_args(false);
  app.add_flag("--json", a->json, "for machines");
  return [a, &app] { run(*a, threads_of(app)); };
}

const AddCommand command("lm summarize", "partitions of users' histories to texts and vectors, for augmenter `liber`",
                         add);

}  // namespace
}  // namespace interplay::tool::lm_summarize_command
