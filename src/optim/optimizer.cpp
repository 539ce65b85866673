#include <interplay/optim/optimizer.h>

namespace interplay {

Optimizer::~Optimizer() = default;
Optimizer::Rest::~Rest() = default;

void Optimizer::start(const at::Tensor&, at::Tensor) const {}

Registry<Optimizer>& optimizers() {
  static auto* const registry = new Registry<Optimizer>("optimizer");
  return *registry;
}

}  // namespace interplay
