#include <interplay/optim/optimizer.h>

#include <interplay/base/section.h>

namespace interplay {
namespace {
INTERPLAY_SECTION("optimizer", GroupOptions, "a group of `optimizer:` in an experiment, whatever its rule");
}

Optimizer::~Optimizer() = default;
Optimizer::Rest::~Rest() = default;

void Optimizer::start(const at::Tensor&, at::Tensor) const {}

Registry<Optimizer>& optimizers() {
  static auto* const registry = new Registry<Optimizer>("optimizer");
  return *registry;
}

}  // namespace interplay
