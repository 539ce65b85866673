#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>

#include <interplay/base/api.h>

/// Where the time of training goes: every moment between start() and stop() of a StageClock belongs to one stage, so
/// that the stages add up to the whole. Two looks at the clock a scope, whatever it holds.
namespace interplay {

enum class Stage { load, gather, forward, backward, row_update, dense_update, other };

constexpr size_t kStages = 7;
/// By Stage: load = waiting for the next batch; gather = reading embedding rows, alone or within a fused kernel;
/// forward and backward = the rest of these two passes; row update = summing the gradients of equal rows and moving
/// them; dense update = moving all other parameters.
constexpr std::array<const char*, kStages> kStageNames = {"load",       "gather",       "forward", "backward",
                                                          "row update", "dense update", "other"};
using StageSeconds = std::array<double, kStages>;
INTERPLAY_API double total(const StageSeconds& seconds);

/// `load 1%, gather 8% (780 k), ...`: share of the time and rows over seconds, stage by stage.
INTERPLAY_API std::string profile_line(const StageSeconds& seconds, int64_t rows);

/// Counts for the thread that started it, until it is stopped. One clock a thread: the last one started.
class INTERPLAY_API StageClock {
 public:
  ~StageClock();
  void start();         ///< in stage `other`; does nothing where it runs
  void stop();          ///< adds what has passed; does nothing where it stands
  StageSeconds take();  ///< what was counted since the last take(); the clock stands

 private:
  friend class StageScope;
  using Clock = std::chrono::steady_clock;
  Stage enter(Stage stage);  // returns the stage it leaves
  StageSeconds seconds_{};
  Stage stage_ = Stage::other;
  Clock::time_point since_;
};

/// While it lives, time is its stage's, but for what scopes within it take. Without a clock on this thread, nothing.
///
///     const StageScope scope(Stage::gather);
class INTERPLAY_API StageScope {
 public:
  explicit StageScope(Stage stage);
  ~StageScope();
  StageScope(const StageScope&) = delete;
  StageScope& operator=(const StageScope&) = delete;

 private:
  StageClock* clock_;
  Stage before_ = Stage::other;
};

}  // namespace interplay
