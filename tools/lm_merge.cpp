// interplay lm merge RUN.. --out RUN2: checkpoints of tuned models to one.
#include <interplay/systems/recfound.h>

#include "lm.h"

namespace interplay::tool::lm_merge_command {
namespace {

std::function<void()> add(CLI::App& app) {
  struct Arguments {
    std::vector<std::string> runs;
    std::string out;
    MergeOptions options;
  };
  auto a = std::make_shared<Arguments>();
  app.add_option("RUN", a->runs, "a run of `lm tune`, whose checkpoints are merged; or several, as each ended")
      ->required();
  app.add_option("--out", a->out, "folder that is written, whole or not at all: a tuned model like the others")
      ->required();
  app.add_option("--method", a->options.method, "ties; linear, the mean; slerp, of two")
      ->check(CLI::IsMember({"ties", "linear", "slerp"}))
      ->capture_default_str();
  app.add_option("--density", a->options.density, "of ties: share of each tensor's largest changes that is kept")
      ->capture_default_str();
  app.add_option("--at", a->options.at, "of slerp: how far from the first to the second")->capture_default_str();
  app.add_option("--last", a->options.last, "so many of one run's last checkpoints; 0 = all (slerp: 2)")
      ->check(at_least(0))
      ->capture_default_str();
  app.add_flag("--force", a->options.force, "replace --out if it exists");
  return [a] {
    check_out(a->out, a->options.force);
    const MergeReport r = merge_models({a->runs.begin(), a->runs.end()}, a->options, a->out);
    fmt::print("{}: {} of {} models, {} tensors; all changed {:.1f}% of the numbers the same way\n", a->out,
               a->options.method, r.models, r.tensors, 100 * r.agreed);
  };
}

const AddCommand command("lm merge", "checkpoints of tuned models to one: ties, linear, slerp", add);

}  // namespace
}  // namespace interplay::tool::lm_merge_command
