#pragma once

#include <chrono>
#include <cstdint>

#include <interplay/base/api.h>
#include <interplay/train/fit_progress.h>
#include <interplay/train/stepper.h>

namespace interplay {

/// How fast a fit goes on, and when its trackers are to be told of it: about once a second.
class INTERPLAY_API Pace {
 public:
  void begin(int64_t step, int64_t steps);  ///< of a pass: steps that are taken, and those of the fit; the first counts
  void add(const StepReport& step);
  bool is_due() const;
  /// Fills in steps, loss, speed and time left, of the steps since it was told last.
  void tell(FitProgress& progress);

 private:
  using Clock = std::chrono::steady_clock;
  bool begun_ = false;
  int64_t begun_step_ = 0, step_ = 0, steps_ = 0;
  Clock::time_point begun_at_{}, told_at_{};
  int64_t told_steps_ = 0, told_rows_ = 0;
  double loss_sum_ = 0;
};

}  // namespace interplay
