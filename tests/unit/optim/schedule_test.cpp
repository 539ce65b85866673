#include <interplay/optim/schedule.h>

#include <vector>

#include <gtest/gtest.h>

namespace interplay::schedule_test {
namespace {

std::vector<double> factors(const Schedule& schedule, int64_t steps, int64_t total) {
  std::vector<double> out;
  for (int64_t s = 1; s <= steps; ++s) out.push_back(schedule.factor(s, total));
  return out;
}

std::shared_ptr<Schedule> make(const std::string& config) { return schedules().make(Config::parse(config)); }

// tests/reference/optimizers_test.cpp compares cosine, step and plateau with PyTorch and FuxiCTR at their usual
// options.

TEST(Schedule, ConstantStaysAsItIs) { EXPECT_EQ(factors(*make("constant"), 3, 3), (std::vector<double>{1, 1, 1})); }

TEST(Schedule, StepFallsAfterEachFullPeriod) {
  EXPECT_EQ(factors(*make("{name: step, every: 2, factor: 0.5}"), 5, 5), (std::vector<double>{1, 1, 0.5, 0.5, 0.25}));
}

TEST(Schedule, CosineStaysAtItsEndWhereTheEstimateOfStepsWasLow) {
  const auto cosine = make("{name: cosine, minimum: 0.25}");
  EXPECT_DOUBLE_EQ(cosine->factor(3, 5), 0.625);  // half way: the mean of 1 and 0.25
  EXPECT_DOUBLE_EQ(cosine->factor(5, 5), 0.25);
  EXPECT_DOUBLE_EQ(cosine->factor(9, 5), 0.25);
  EXPECT_DOUBLE_EQ(cosine->factor(1, 1), 1);  // one step in all
}

TEST(Schedule, LinearFallsByEqualSteps) {
  // (transformers' get_linear_schedule_with_warmup, step s of n without warm-up: (n - s) / n, s from 0)
  EXPECT_EQ(factors(*make("linear"), 5, 4), (std::vector<double>{1, .75, .5, .25, 0}));
  EXPECT_DOUBLE_EQ(make("{name: linear, minimum: 0.5}")->factor(3, 4), 0.75);
}

TEST(Schedule, PlateauWaitsThroughItsPatience) {
  const auto plateau = make("{name: plateau, factor: 0.5, patience: 2, minimum: 0.2}");
  std::vector<double> after;
  for (const bool improved : {false, true, false, false, false, false, false, false, true}) {
    plateau->observe(improved);
    after.push_back(plateau->factor(1, 1));
  }
  // Two in a row without improvement halve it, and the count begins again; the third time 0.125 is below the minimum.
  EXPECT_EQ(after, (std::vector<double>{1, 1, 1, 0.5, 0.5, 0.25, 0.25, 0.2, 0.2}));
}

TEST(Schedule, PlateauGoesOnFromItsState) {
  const std::string config = "{name: plateau, factor: 0.3, patience: 2}";
  const auto whole = make(config), begun = make(config);
  for (const bool improved : {false, false, false}) whole->observe(improved), begun->observe(improved);
  const auto resumed = make(config);
  // As a checkpoint keeps it: text. 0.3 must come back to the last bit.
  resumed->restore(Config::parse(begun->state().yaml()));
  EXPECT_EQ(resumed->factor(1, 1), 0.3);
  for (const bool improved : {false, true, false, false}) {
    whole->observe(improved), resumed->observe(improved);
    EXPECT_EQ(resumed->factor(1, 1), whole->factor(1, 1));
  }
  EXPECT_DOUBLE_EQ(resumed->factor(1, 1), 0.027);
}

TEST(Schedule, ThoseWithoutMemoryRestoreFromNothing) {
  for (const char* name : {"constant", "cosine", "linear", "step"}) {
    const auto schedule = make(name);
    const double before = schedule->factor(3, 10);
    schedule->observe(false);
    schedule->restore(Config::parse(schedule->state().yaml()));
    EXPECT_EQ(schedule->factor(3, 10), before) << name;
  }
}

TEST(Schedule, RefusesOptionsOutOfRange) {
  EXPECT_THROW(make("{name: plateau, patience: 0}"), Error);
  EXPECT_THROW(make("{name: step, every: 0}"), Error);
  EXPECT_THROW(make("straight"), Error);
}

}  // namespace
}  // namespace interplay::schedule_test
