#include "train/pace.h"

namespace interplay {
namespace {

constexpr double kTellEvery = 1;  // seconds

double seconds_since(std::chrono::steady_clock::time_point then) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - then).count();
}

}  // namespace

void Pace::begin(int64_t step, int64_t steps) {
  step_ = step, steps_ = steps;
  if (begun_) return;
  begun_ = true;
  begun_step_ = step;
  begun_at_ = told_at_ = Clock::now();
}

void Pace::add(const StepReport& step) {
  step_ = step.step;
  ++told_steps_;
  told_rows_ += step.rows;
  loss_sum_ += step.loss;
}

bool Pace::is_due() const { return begun_ && seconds_since(told_at_) >= kTellEvery; }

void Pace::tell(FitProgress& p) {
  const double passed = seconds_since(told_at_);
  p.step = step_, p.steps = steps_, p.told_steps = told_steps_;
  if (told_steps_ > 0) {
    p.train_loss = loss_sum_ / double(told_steps_);
    if (passed > 0) p.rows_per_s = double(told_rows_) / passed;
  }
  // with evaluations, which come as often in what is left
  if (steps_ > 0 && step_ > begun_step_)
    p.seconds_left = seconds_since(begun_at_) / double(step_ - begun_step_) * double(steps_ - step_);
  told_at_ = Clock::now();
  told_steps_ = told_rows_ = 0, loss_sum_ = 0;
}

}  // namespace interplay
