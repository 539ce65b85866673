#pragma once

#include <vector>

#include "optim/step.h"

namespace interplay {

// Rows of tables on the CPU, in stretches that threads take one after the other.

/// Sums the gradients of every touched row of these tables, penalties included, for a norm has to be known before they
/// move. Returns the squares' sum: in `mode: dense` without what penalty_norm2() returns.
double sum_gradients(const std::vector<TableParameter*>& tables);
/// What rows that nobody read add to the squared norm: with L2 alone it is that of the weights, carried from the last
/// pass where nothing has changed since (and sum_gradients() has made up for the rows that were read).
double penalty_norm2(TableParameter& t);

/// Moves the touched rows of these tables, those that the same ids have read together. Rows that waited for steps take
/// them before.
void move_touched_rows(const std::vector<TableParameter*>& tables, StepState& step);
/// Moves every row of these tables, those that share rows together.
void move_all_rows(const std::vector<TableParameter*>& tables, StepState& step);

// On another device than the CPU, by the plain twins.

double norm2_elsewhere(const TableParameter& t);
void move_elsewhere(const TableParameter& t, const StepInfo& info, float scale);

}  // namespace interplay
