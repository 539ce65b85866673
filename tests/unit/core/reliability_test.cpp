#include <interplay/core/reliability.h>

#include <cmath>

#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include "core/metric/probability.h"

namespace interplay::reliability_test {
namespace {

/// The rows of tests/reference/calibration.py, of which slope * z + shift is judged.
Predictions rows_of_script(double slope = 1, double shift = 0) {
  Predictions rows;
  for (int64_t i = 0; i < 2000; ++i) {
    const double z = std::floor(30 * std::sin(1.7 * double(i)) + 0.5) / 10;
    rows.logit.push_back(float(slope * z + shift));
    rows.label.push_back(double(i * 7919 % 2003) / 2003 < sigmoid(0.6 * z - 0.8));
    rows.weight.push_back(float(1 + i % 3));
  }
  return rows;
}

TEST(CalibrationError, OfRowsThatAreFarOff) {
  const auto e = calibration_error(rows_of_script());
  EXPECT_NEAR(e.ece, 0.15036230975448348, 1e-7);  // logits are floats
  EXPECT_NEAR(e.largest_gap, 0.30925239759226125, 1e-7);
  EXPECT_NEAR(e.ratio, 1.3833035023397247, 1e-6);
  EXPECT_NEAR(e.by_chance, 0.02486, 0.0002);  // the mean of 20,000 draws
  // 10,000 draws with replacement; of 400 the ends are known to a tenth of the width.
  EXPECT_NEAR(e.low, 0.13116, 0.004);
  EXPECT_NEAR(e.high, 0.16977, 0.004);
}

TEST(CalibrationError, OfRowsThatAreRight) {
  const auto e = calibration_error(rows_of_script(0.6, -0.8), {.replicates = 2000});
  EXPECT_NEAR(e.ece, 0.013677295235922787, 1e-6);
  EXPECT_NEAR(e.largest_gap, 0.03093582572508502, 1e-6);
  EXPECT_NEAR(e.ratio, 0.9947987054817645, 1e-6);
  EXPECT_NEAR(e.by_chance, 0.03019, 0.0003);
  EXPECT_NEAR(e.low, 0.0018, 0.002);
  EXPECT_NEAR(e.high, 0.0273, 0.002);
}

TEST(CalibrationError, IsTheSameWithAnyNumberOfThreads) {
  const auto rows = rows_of_script();
  const int threads = at::get_num_threads();
  at::set_num_threads(1);
  const auto one = calibration_error(rows, {.replicates = 20});
  at::set_num_threads(2);
  const auto two = calibration_error(rows, {.replicates = 20});
  at::set_num_threads(threads);
  EXPECT_EQ(one.low, two.low);
  EXPECT_EQ(one.high, two.high);
}

TEST(CalibrationError, OfOneBinIsTheGapOfTheMeans) {
  const Predictions rows{.logit = {0, 0, 0, 0}, .label = {1, 0, 0, 0}};
  const auto e = calibration_error(rows, {.replicates = 2});
  EXPECT_DOUBLE_EQ(e.ece, 0.25);
  EXPECT_DOUBLE_EQ(e.largest_gap, 0.25);
  EXPECT_DOUBLE_EQ(e.ratio, 2);
  EXPECT_DOUBLE_EQ(e.by_chance, std::sqrt(2 / M_PI) / 4);  // sqrt(4 * 1/4) over 4 rows
}

TEST(CalibrationError, WithoutPositivesHasNoRatio) {
  EXPECT_TRUE(std::isnan(calibration_error({.logit = {0, 1}, .label = {0, 0}}, {.replicates = 2}).ratio));
}

}  // namespace
}  // namespace interplay::reliability_test
