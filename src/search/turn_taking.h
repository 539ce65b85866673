#pragma once

#include <string>
#include <vector>

#include <interplay/train/trainer.h>

namespace interplay {

/// These parameter groups learn from `held_out` alone: a step on training rows leaves them, and after it they take one
/// of their own on the next batch of `held_out`, in an order of its own, which follows the trainer's seed too. The
/// batches have the balance of classes that the others learn from. A resumed training goes on where they were.
///
/// Call it before fit(). Throws Error(data) where there are no rows, Error on a group that there is not.
INTERPLAY_API void take_turns(Trainer& trainer, const std::vector<std::string>& groups, const Dataset& held_out);

}  // namespace interplay
