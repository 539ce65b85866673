#pragma once

#include <interplay/base/registry.h>

namespace interplay {

/// A factor on every learning rate. Warm-up (`train.warmup_steps`) multiplies on top of whichever is chosen.
class INTERPLAY_API Schedule {
 public:
  virtual ~Schedule();
  virtual double factor(int64_t step, int64_t total_steps) const = 0;  ///< steps count from 1; total is an estimate
  virtual bool needs_end() const;       ///< whether it goes by total_steps; not, by default
  virtual void observe(bool improved);  ///< after each evaluation
  virtual Config state() const;         ///< what a checkpoint must keep
  virtual void restore(const Config& state);
};

INTERPLAY_API Registry<Schedule>& schedules();

}  // namespace interplay
