#pragma once

#include <vector>

#include "optim/step.h"

namespace interplay {

/// Adds the penalties to the gradients. Returns those parameters that have a gradient, of the loss or of a penalty.
std::vector<DenseParameter*> with_penalties(const std::vector<DenseParameter*>& parameters);
/// Moves dense parameters, in pieces of about as many numbers.
void move_dense(StepState& step);

}  // namespace interplay
