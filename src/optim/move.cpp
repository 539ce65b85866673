#include <interplay/base/stages.h>
#include <interplay/nn/table_storage.h>

#include "optim/dense_step.h"
#include "optim/sparse_step.h"
#include "optim/step.h"

namespace interplay {
namespace {

std::vector<nn::TableStorage*> storages_of(const std::vector<TableParameter*>& tables, const Group& group) {
  std::vector<nn::TableStorage*> out;
  for (auto* t : tables) {
    if (t->group == &group) out.push_back(&t->storage());
  }
  return out;
}

/// Rows that nobody read take this step when somebody does.
void let_rest(StepState& step) {
  for (auto& [name, group] : step.parts.groups) {
    if (group.resting && step.moves(group))
      group.resting->stepped(step.info(group, true), storages_of(step.touched, group));
  }
  for (auto& t : step.parts.tables) {
    if (t.group->resting) t.weight_norm2 = -1;
  }
}

void moved(TableParameter& t) {
  t.storage().changed();
  t.storage().clear();
  t.summed = false;
}

}  // namespace

void move(StepState& step) {
  move_touched_rows(step.touched, step);
  if (!step.clips()) let_rest(step);
  move_all_rows(step.whole, step);
  for (auto* t : step.elsewhere) {
    move_elsewhere(*t, step.info(*t->group, true), step.scale);
    t->gradients = {};
  }
  for (auto* t : step.touched) moved(*t);
  for (auto* t : step.whole) moved(*t);
  for (auto* t : step.whole) t->version = t->storage().version();  // after every change to rows that tables share
  const StageScope stage(Stage::dense_update);
  move_dense(step);
}

}  // namespace interplay
