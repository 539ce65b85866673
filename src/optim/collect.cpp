#include <algorithm>

#include <interplay/nn/table_storage.h>

#include "optim/step.h"

namespace interplay {
namespace {

/// Another Optimizer may have been made for the same module since: of tables whose rows wait, or lie in other places.
void take_over(const TableParameter& t) {
  nn::TableStorage& storage = t.storage();
  INTERPLAY_CHECK(storage.state_width() == t.group->rule->state_width(storage.width()),
                  "the table '{}' has been laid out for another Optimizer, made later for the same module; step that "
                  "one, or make a new one",
                  t.module_name());
  if (storage.stale() != t.group->resting.get()) storage.set_stale(t.group->resting);
}

}  // namespace

const Group& OptimizerParts::group(const std::string& name) const {
  const auto it = groups.find(name);
  if (it != groups.end()) return it->second;
  std::vector<std::string> names;
  for (const auto& [known, group] : groups) names.push_back(known);
  throw Error(fmt::format("this model has no parameter group '{}' (groups: {})", name, fmt::join(names, ", ")));
}

void OptimizerParts::clear_gradients() {
  for (auto& t : tables) {
    t.storage().clear();
    t.gradients = {};
    t.summed = false;
  }
  for (auto& p : dense) p.weight.mutable_grad().reset();
}

bool StepState::moves(const Group& group) const {
  return given.only.empty() || std::find(given.only.begin(), given.only.end(), group.name) != given.only.end();
}

StepInfo StepState::info(const Group& group, bool rows) const {
  const auto own = given.own_lr_factors.find(group.name);
  const double factor = own == given.own_lr_factors.end() ? given.lr_factor : own->second;
  return {parts.steps, group.options.lr * factor, rows && group.is_lazy()};
}

void collect(StepState& step) {
  for (const auto& name : step.given.only) step.parts.group(name);
  for (auto& t : step.parts.tables) {
    take_over(t);
    if (step.moves(*t.group)) {
      step.tables.push_back(&t);
    } else {
      t.storage().clear();
    }
  }
  for (auto& p : step.parts.dense) {
    if (step.moves(*p.group)) {
      step.dense.push_back(&p);
    } else {
      p.weight.mutable_grad().reset();
    }
  }
}

}  // namespace interplay
