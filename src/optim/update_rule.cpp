#include <interplay/optim/update_rule.h>

#include <interplay/base/section.h>

namespace interplay {
namespace {
INTERPLAY_SECTION("optimizer", GroupOptions, "a group of `optimizer:` in an experiment, whatever its rule");
}

UpdateRule::~UpdateRule() = default;
UpdateRule::Rest::~Rest() = default;

void UpdateRule::start(const at::Tensor&, at::Tensor) const {}

Registry<UpdateRule>& update_rules() {
  static auto* const registry = new Registry<UpdateRule>("optimizer");
  return *registry;
}

}  // namespace interplay
