// interplay lm adapter RUN --out FILE: the adapters that a run has learnt, for other programs.
#include <interplay/base/error.h>
#include <interplay/core/bundle.h>
#include <interplay/systems/adapted_model.h>

#include "lm.h"

namespace interplay::tool::lm_adapter_command {
namespace {

std::function<void()> add(CLI::App& app) {
  struct Arguments {
    std::string run, out;
    bool force = false;
  };
  auto a = std::make_shared<Arguments>();
  app.add_option("RUN", a->run, "a run of a model that learns adapters, as rella")->required();
  app.add_option("--out", a->out, "file to write (.safetensors): PEFT's names, for `lm score --adapter`")->required();
  app.add_flag("--force", a->force, "replace --out if it exists");
  return [a] {
    check_out(a->out, a->force);
    const Bundle bundle = Bundle::open(a->run);
    const auto model = bundle.model();
    const auto* const adapted = dynamic_cast<const AdaptedModel*>(model.get());
    INTERPLAY_CHECK(adapted, "{}: model {} learns no adapters; name a run of rella", a->run,
                    bundle.config()["model"]["name"].as<std::string>());
    adapted->save_adapters(a->out);
    fmt::print("{}: adapters of {}\n", a->out, a->run);
  };
}

const AddCommand command("lm adapter", "the adapters that a run has learnt, as a file", add);

}  // namespace
}  // namespace interplay::tool::lm_adapter_command
