#include <interplay/base/stages.h>

#include <cmath>
#include <numeric>
#include <utility>

#include <fmt/format.h>

#include <interplay/base/progress.h>

namespace interplay {
namespace {

thread_local StageClock* running = nullptr;

}  // namespace

double total(const StageSeconds& seconds) { return std::accumulate(seconds.begin(), seconds.end(), 0.0); }

std::string profile_line(const StageSeconds& seconds, int64_t rows) {
  const double whole = total(seconds);
  std::string line;
  for (size_t i = 0; i < kStages; ++i) {
    const double percent = whole > 0 ? std::round(100 * seconds[i] / whole) : 0;
    line += fmt::format("{}{} {:.0f}%", i > 0 ? ", " : "", kStageNames[i], percent);
    if (percent > 0) line += fmt::format(" ({})", human_count(double(rows) / seconds[i]));
  }
  return line;
}

StageClock::~StageClock() { stop(); }

void StageClock::start() {
  if (running == this) return;
  if (running) running->stop();
  running = this;
  stage_ = Stage::other;
  since_ = Clock::now();
}

void StageClock::stop() {
  if (running != this) return;
  enter(Stage::other);
  running = nullptr;
}

StageSeconds StageClock::take() {
  stop();
  return std::exchange(seconds_, {});
}

Stage StageClock::enter(Stage stage) {
  const auto now = Clock::now();
  seconds_[size_t(stage_)] += std::chrono::duration<double>(now - since_).count();
  since_ = now;
  return std::exchange(stage_, stage);
}

StageScope::StageScope(Stage stage) : clock_(running) {
  if (clock_) before_ = clock_->enter(stage);
}

StageScope::~StageScope() {
  if (clock_ && clock_ == running) clock_->enter(before_);
}

}  // namespace interplay
