#pragma once

#include <interplay/data/features.h>

namespace interplay {

/// A model, or a part of one, that looks at all training rows once before the first step: how often values occur, say.
/// Trainer::fit() shows it their features, batch by batch in the data's order, where it asks for them. What it learns
/// of them belongs into buffers or parameters: a run that goes on from a checkpoint, or begins with the weights of
/// another, has it already, and wants_rows() says no.
/// Thread safety: one thread calls it.
class INTERPLAY_API SeesRows {
 public:
  virtual ~SeesRows();
  virtual bool wants_rows() const = 0;
  virtual void see_rows(const Features& x) = 0;  ///< on the CPU; B of them
  virtual void saw_all_rows() = 0;               ///< there are no more
};

}  // namespace interplay
