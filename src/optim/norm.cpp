#include <cmath>

#include "optim/dense_step.h"
#include "optim/sparse_step.h"
#include "optim/step.h"

namespace interplay {
namespace {

/// Penalties of rows elsewhere, which are summed already. A table with a gradient that is not finite stays.
bool join_penalty(TableParameter& t, NotFinite& bad) {
  auto& [rows, grad] = t.gradients;
  const auto finite = at::isfinite(grad).all(1);
  if (!finite.all().item<bool>()) {
    bad.found(t.module_name(), rows.index({finite.logical_not()})[0].item<int64_t>(), true);
    return false;
  }
  if (t.group->is_lazy() && t.group->has_penalty())
    grad.add_(t.group->penalty(t.storage().weight().index_select(0, rows)));
  return true;
}

/// Which tables move how.
void choose(StepState& step) {
  for (auto* t : step.tables) {
    const bool is_lazy = t->group->is_lazy();
    if (!t->is_here()) {
      if ((!is_lazy || t->gradients.rows.size(0) > 0) && join_penalty(*t, step.bad)) step.elsewhere.push_back(t);
    } else if (!is_lazy && (step.clips() || !t->group->resting)) {
      step.whole.push_back(t);
    } else if (t->storage().touched()) {
      step.touched.push_back(t);
    }
  }
}

}  // namespace

void norm(StepState& step) {
  for (auto& [name, group] : step.parts.groups) {
    if (group.resting && step.clips()) group.resting->refresh_all();
  }
  choose(step);
  step.dense = with_penalties(step.dense);
  if (!step.clips()) return;
  std::vector<TableParameter*> here = step.touched;
  here.insert(here.end(), step.whole.begin(), step.whole.end());
  double sum = sum_gradients(here);
  for (auto* t : step.whole) sum += penalty_norm2(*t);
  for (auto* t : step.elsewhere) sum += norm2_elsewhere(*t);
  if (step.parts.exchange) sum = step.parts.exchange->table_norm2(sum);
  for (auto* p : step.dense) sum += p->weight.grad().square().sum(at::kDouble).item<double>();
  step.norm = std::sqrt(sum);
  // As torch.nn.utils.clip_grad_norm_.
  step.scale = float(std::min(1.0, step.given.clip_norm / (step.norm + 1e-6)));
}

}  // namespace interplay
