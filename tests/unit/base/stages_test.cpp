#include <interplay/base/stages.h>

#include <chrono>
#include <thread>

#include <gtest/gtest.h>

namespace interplay::stages_test {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

double of(const StageSeconds& seconds, Stage stage) { return seconds[size_t(stage)]; }

// Sleeping lasts at least as long as asked, and all stages together no longer than what passed: so a stage that counted
// another's time would be found out.
TEST(Stages, AnInnerScopeTakesItsTimeOutOfTheOuterOne) {
  StageClock clock;
  const auto begun = Clock::now();
  clock.start();
  std::this_thread::sleep_for(10ms);
  {
    const StageScope forward(Stage::forward);
    std::this_thread::sleep_for(20ms);
    {
      const StageScope gather(Stage::gather);
      std::this_thread::sleep_for(30ms);
    }
    std::this_thread::sleep_for(20ms);
  }
  const StageSeconds seconds = clock.take();
  const double passed = std::chrono::duration<double>(Clock::now() - begun).count();
  EXPECT_GE(of(seconds, Stage::other), 0.01);
  EXPECT_GE(of(seconds, Stage::forward), 0.04);
  EXPECT_GE(of(seconds, Stage::gather), 0.03);
  EXPECT_EQ(of(seconds, Stage::backward), 0);
  EXPECT_LE(total(seconds), passed);
}

TEST(Stages, OnlyWhatPassesBetweenStartAndStopCounts) {
  StageClock clock;
  {
    const StageScope before(Stage::load);
    std::this_thread::sleep_for(5ms);
  }
  clock.start();
  clock.stop();
  const StageScope after(Stage::load);
  std::this_thread::sleep_for(5ms);
  const StageSeconds seconds = clock.take();
  EXPECT_EQ(of(seconds, Stage::load), 0);
  EXPECT_EQ(total(clock.take()), 0);  // taken
}

TEST(Stages, AnotherThreadDoesNotCount) {
  StageClock clock;
  clock.start();
  std::thread([] {
    const StageScope scope(Stage::backward);
    std::this_thread::sleep_for(5ms);
  }).join();
  const StageSeconds seconds = clock.take();
  EXPECT_EQ(of(seconds, Stage::backward), 0);
  EXPECT_GE(of(seconds, Stage::other), 0.005);
}

TEST(Stages, AClockStartedLaterStopsTheOneBefore) {
  StageClock outer, inner;
  outer.start();
  inner.start();
  {
    const StageScope scope(Stage::load);
    std::this_thread::sleep_for(5ms);
  }
  EXPECT_GE(of(inner.take(), Stage::load), 0.005);
  EXPECT_EQ(of(outer.take(), Stage::load), 0);
}

TEST(Stages, AreToldAsShareAndRate) {
  EXPECT_EQ(profile_line({0.004, 0.5, 1, 2, 0.25, 0.246, 0}, 1000),
            "load 0%, gather 13% (2000), forward 25% (1000), backward 50% (500), row update 6% (4000), "
            "dense update 6% (4065), other 0%");
  EXPECT_EQ(profile_line({}, 0),
            "load 0%, gather 0%, forward 0%, backward 0%, row update 0%, dense update 0%, other 0%");
}

}  // namespace
}  // namespace interplay::stages_test
