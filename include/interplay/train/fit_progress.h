#pragma once

#include <cstdint>
#include <limits>

namespace interplay {

/// How far a fit is, as its trackers are told while it goes on.
struct FitProgress {
  enum class Doing { training, evaluating };
  Doing doing = Doing::training;
  int64_t epoch = 0, epochs = 0;  ///< the one that is being done, from 1, and of how many at most; 0: a stream
  double epochs_done = 0;         ///< 2.5: half way through the third
  int64_t step = 0, steps = 0;    ///< taken, and of how many at most; 0: nobody knows
  int64_t told_steps = 0;         ///< taken since this was told last
  double train_loss = std::numeric_limits<double>::quiet_NaN();    ///< mean over these; NaN where there are none
  double lr = std::numeric_limits<double>::quiet_NaN();            ///< learning rate
  double rows_per_s = std::numeric_limits<double>::quiet_NaN();    ///< of these steps; NaN where there are none
  double seconds_left = std::numeric_limits<double>::quiet_NaN();  ///< at most; NaN where nobody knows
};

}  // namespace interplay
