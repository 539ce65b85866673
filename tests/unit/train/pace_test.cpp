#include "train/pace.h"

#include <cmath>

#include <gtest/gtest.h>

namespace interplay::pace_test {
namespace {

TEST(Pace, TellsTheMeanLossOfTheStepsSinceItWasToldLast) {
  Pace pace;
  pace.begin(10, 40);
  pace.add({.step = 11, .loss = 0.4, .rows = 5});
  pace.add({.step = 12, .loss = 0.6, .rows = 5});
  FitProgress told;
  pace.tell(told);
  EXPECT_EQ(told.step, 12);
  EXPECT_EQ(told.told_steps, 2);
  EXPECT_DOUBLE_EQ(told.train_loss, 0.5);
  FitProgress again;
  pace.tell(again);
  EXPECT_EQ(again.step, 12);
  EXPECT_TRUE(std::isnan(again.train_loss));
  // 2 of the 30 steps took what is passed: the other 28 take 14 times that, and time goes on
  EXPECT_GT(again.seconds_left, told.seconds_left);
}

}  // namespace
}  // namespace interplay::pace_test
