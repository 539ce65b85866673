#include <interplay/base/progress.h>

#include <gtest/gtest.h>

namespace interplay::progress_test {
namespace {

TEST(HumanCount, HasThreeDigitsOrAllOfAWholeNumber) {
  EXPECT_EQ(human_count(0), "0");
  EXPECT_EQ(human_count(2.71), "2.7");
  EXPECT_EQ(human_count(3), "3");
  EXPECT_EQ(human_count(99.94), "99.9");
  EXPECT_EQ(human_count(99.96), "100");
  EXPECT_EQ(human_count(950.4), "950");
  EXPECT_EQ(human_count(9999), "9999");
  EXPECT_EQ(human_count(12345), "12.3 k");
  EXPECT_EQ(human_count(4.56e6), "4.56 M");
  EXPECT_EQ(human_count(1.2e9), "1.20 G");
}

TEST(HumanBytes, ArePowersOfAThousand) {
  EXPECT_EQ(human_bytes(950), "950 B");
  EXPECT_EQ(human_bytes(12345), "12.3 KB");
  EXPECT_EQ(human_bytes(4.56e9), "4.56 GB");
}

TEST(HumanSeconds, AreReadAtAGlance) {
  EXPECT_EQ(human_seconds(0.314), "0.31 s");
  EXPECT_EQ(human_seconds(12.44), "12.4 s");
  EXPECT_EQ(human_seconds(200), "3 min 20 s");
  EXPECT_EQ(human_seconds(7500), "2 h 5 min");
}

TEST(Progress, WhatWasDoneBeforeHasNoSpeed) {
  Progress::enable(false);
  Progress progress("title", 100);
  progress.skip(60);
  EXPECT_EQ(progress.per_second(), 0);
  progress.add(20);
  EXPECT_GT(progress.per_second(), 0);
}

}  // namespace
}  // namespace interplay::progress_test
