#include <interplay/core/calibrator.h>

#include <cmath>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/calibrate/isotonic_blocks.h"
#include "core/metric/probability.h"
#include "support/error_of.h"

namespace interplay::calibrator_test {
namespace {

using ::testing::HasSubstr;

/// Those of tests/reference/calibration.py, which prints the values that are expected of them.
CalibrationRows rows_of_script() {
  CalibrationRows rows;
  for (int64_t i = 0; i < 2000; ++i) {
    const double z = std::floor(30 * std::sin(1.7 * double(i)) + 0.5) / 10;
    rows.logit.push_back(z);
    rows.label.push_back(double(i * 7919 % 2003) / 2003 < sigmoid(0.6 * z - 0.8));
    rows.weight.push_back(1.0 + double(i % 3));
  }
  return rows;
}

std::shared_ptr<const Calibrator> fitted(const std::string& method, const CalibrationRows& rows) {
  return calibrators().make(Config::scalar(method))->fit(rows);
}

double parameter(const Calibrator& calibrator, const char* name) { return calibrator.parameters()[name].as<double>(); }

double loss(const Calibrator& calibrator, const CalibrationRows& rows) {
  double sum = 0;
  for (size_t i = 0; i < rows.logit.size(); ++i)
    sum += rows.weight[i] * cross_entropy(calibrator.logit(rows.logit[i]), rows.label[i]);
  return sum;
}

TEST(Calibrator, PlattIsAnUnregularisedLogisticRegression) {
  const auto rows = rows_of_script();
  const auto platt = fitted("platt", rows);
  EXPECT_NEAR(parameter(*platt, "slope"), 0.593161143057041, 1e-9);
  EXPECT_NEAR(parameter(*platt, "shift"), -0.7840911334320586, 1e-9);
  EXPECT_NEAR(loss(*platt, rows), 2063.608624856821, 1e-8);
}

TEST(Calibrator, TemperatureIsTheMinimiserOfOneNumber) {
  const auto rows = rows_of_script();
  const auto temperature = fitted("temperature", rows);
  EXPECT_NEAR(parameter(*temperature, "temperature"), 1.9133022835636937, 1e-7);
  EXPECT_NEAR(loss(*temperature, rows), 2272.049339591258, 1e-8);
}

TEST(Calibrator, BetaIsTheMinimiserOfThree) {
  const auto rows = rows_of_script();
  const auto beta = fitted("beta", rows);
  EXPECT_NEAR(parameter(*beta, "a"), 0.5966780936807021, 1e-8);
  EXPECT_NEAR(parameter(*beta, "b"), 0.5902322930072056, 1e-8);
  EXPECT_NEAR(parameter(*beta, "c"), -0.7772333181606336, 1e-8);
  EXPECT_NEAR(loss(*beta, rows), 2063.6074431692505, 1e-8);
}

TEST(Calibrator, BetaKeepsToMapsThatDoNotFall) {
  auto rows = rows_of_script();  // more positives at both ends: the least loss of all has a = -1.16
  for (size_t i = 0; i < rows.logit.size(); ++i) {
    const double z = rows.logit[i];
    rows.label[i] = double(int64_t(i) * 7919 % 2003) / 2003 < sigmoid(std::abs(z) + 0.3 * z - 2);
  }
  const auto beta = fitted("beta", rows);
  EXPECT_EQ(parameter(*beta, "a"), 0);
  EXPECT_NEAR(parameter(*beta, "b"), 0.70217342328, 1e-6);  // where SciPy's bounded minimiser stopped
  EXPECT_NEAR(parameter(*beta, "c"), -0.913180748911, 1e-6);
  EXPECT_NEAR(loss(*beta, rows), 2496.2821323865373, 1e-7);
}

TEST(Calibrator, IsotonicIsScikitLearnsStepsAndALineThroughTheirMeans) {
  const auto rows = rows_of_script();
  const auto blocks = isotonic_blocks(rows);
  ASSERT_EQ(blocks.size(), 19);
  EXPECT_NEAR(blocks[0].logit, -3, 1e-12);
  EXPECT_NEAR(blocks[1].logit, -2.9, 1e-12);
  EXPECT_NEAR(blocks[2].logit, -2.626211453744, 1e-11);
  EXPECT_NEAR(blocks[17].logit, 2.818489583333, 1e-11);
  EXPECT_NEAR(blocks[0].p, 0.03896103896103896, 1e-14);
  EXPECT_NEAR(blocks[2].p, 0.103524229075, 1e-11);
  EXPECT_NEAR(blocks[17].p, 0.71875, 1e-14);
  EXPECT_NEAR(blocks[18].p, 0.7319148936170212, 1e-14);
  const auto isotonic = fitted("isotonic", rows);
  for (const auto& [z, p] : {std::pair{-9.0, 0.03896103896103896},
                             {-2.05, 0.11023265105415206},
                             {0.123, 0.3273690757797444},
                             {1.5, 0.5320252747546277},
                             {9.0, 0.7319148936170212}}) {
    EXPECT_NEAR(sigmoid(isotonic->logit(z)), p, 1e-12) << z;
  }
}

TEST(Calibrator, PoolsByHand) {
  const auto blocks = isotonic_blocks({{3, 1, 2, 1, 4}, {0, 0, 1, 1, 1}, {2, 1, 1, 3, 5}});
  // z = 1: 3 of 4; z = 2: 1 of 1; z = 3: 0 of 2, which pools with both; z = 4: 5 of 5
  ASSERT_EQ(blocks.size(), 2);
  EXPECT_DOUBLE_EQ(blocks[0].p, 4.0 / 7);
  EXPECT_DOUBLE_EQ(blocks[0].logit, (4 * 1 + 1 * 2 + 2 * 3) / 7.0);
  EXPECT_DOUBLE_EQ(blocks[0].weight, 7);
  EXPECT_DOUBLE_EQ(blocks[1].p, 1);
}

TEST(Calibrator, PoolsWhatIsTooSteep) {
  const std::vector<IsotonicBlock> blocks{{0, 0.1, 4}, {1, 0.2, 4}, {1.1, 0.6, 2}, {3, 0.7, 1}};
  const auto pooled = less_steep(blocks, 1);  // 0.4 in 0.1: the second and third become one
  ASSERT_EQ(pooled.size(), 3);
  EXPECT_DOUBLE_EQ(pooled[1].logit, (4 * 1 + 2 * 1.1) / 6);
  EXPECT_DOUBLE_EQ(pooled[1].p, (4 * 0.2 + 2 * 0.6) / 6);
  EXPECT_DOUBLE_EQ(pooled[1].weight, 6);
  EXPECT_EQ(less_steep(blocks, 5).size(), 4);
}

TEST(Calibrator, IsotonicIsNoSurerThanItsRowsAllow) {
  const auto isotonic = fitted("isotonic", {{-1, 0, 1}, {0, 0, 1}, {1, 1, 1}});
  EXPECT_NEAR(sigmoid(isotonic->logit(-50)), 1.0 / 5, 1e-12);  // 1 / (3 + 2)
  EXPECT_NEAR(sigmoid(isotonic->logit(50)), 4.0 / 5, 1e-12);
}

class EachCalibrator : public ::testing::TestWithParam<std::string> {};
INSTANTIATE_TEST_SUITE_P(Registered, EachCalibrator, ::testing::ValuesIn(calibrators().names()));

TEST_P(EachCalibrator, LeavesRowsThatAreRightAsTheyAre) {
  CalibrationRows rows;  // of each logit as many positives as its sigmoid says, by weight
  for (const double p : {0.1, 0.2, 0.5, 0.7, 0.9}) {
    for (const double y : {0.0, 1.0}) {
      rows.logit.push_back(std::log(p / (1 - p))), rows.label.push_back(y);
      rows.weight.push_back(1000 * (y > 0 ? p : 1 - p));
    }
  }
  const auto map = fitted(GetParam(), rows);
  for (const double z : rows.logit) EXPECT_NEAR(map->logit(z), z, 1e-7);
}

TEST_P(EachCalibrator, NeverFallsAndStaysFinite) {
  for (const auto& rows : {rows_of_script(), CalibrationRows{{-2, -1, 1, 2}, {0, 0, 1, 1}, {1, 1, 1, 1}},
                           CalibrationRows{{-2, -1, 1, 2}, {1, 1, 0, 0}, {1, 1, 1, 1}},
                           CalibrationRows{{3, 3, 3}, {1, 0, 0}, {1, 1, 1}}}) {
    const auto map = fitted(GetParam(), rows);
    double before = -INFINITY;
    for (double z = -60; z <= 60; z += 0.25) {
      ASSERT_TRUE(std::isfinite(map->logit(z))) << z;
      ASSERT_GE(map->logit(z), before - 1e-12) << z;
      before = map->logit(z);
    }
  }
}

TEST_P(EachCalibrator, ComesBackFromItsParameters) {
  const auto map = fitted(GetParam(), rows_of_script());
  Config config = map->parameters();
  config.set("name", Config::scalar(GetParam()));
  const auto again = calibrators().make(config);
  for (double z = -5; z <= 5; z += 0.37) EXPECT_EQ(again->logit(z), map->logit(z));
}

TEST_P(EachCalibrator, RefusesLabelsOfOneClass) {
  EXPECT_THAT(testing::data_error([] { fitted(GetParam(), {{1, 2}, {1, 1}, {1, 1}}); }), HasSubstr("all of one class"));
}

TEST(Calibrator, TwoPointsGiveTheirOddsBack) {
  // Three of four at z = 1, one of three at z = -1: log odds ln 3 and -ln 2.
  const CalibrationRows rows{{1, 1, 1, 1, -1, -1, -1}, {1, 1, 1, 0, 1, 0, 0}, {1, 1, 1, 1, 1, 1, 1}};
  for (const char* method : {"platt", "isotonic"}) {
    const auto map = fitted(method, rows);
    EXPECT_NEAR(map->logit(1), std::log(3), 1e-9) << method;
    EXPECT_NEAR(map->logit(-1), -std::log(2), 1e-9) << method;
  }
}

TEST(Calibrator, OptionsThatAreNoMapAreRefused) {
  const auto refused = [](const char* options) {
    return testing::config_error([&] { calibrators().make(Config::parse(options)); });
  };
  EXPECT_THAT(refused("{name: platt, slope: -1}"), HasSubstr("slope: -1 is out of range"));
  EXPECT_THAT(refused("{name: platt, shift: .nan}"), HasSubstr("shift"));
  EXPECT_THAT(refused("{name: temperature, temperature: 0}"), HasSubstr("out of range; expected 0.01 to 100"));
  EXPECT_THAT(refused("{name: beta, b: .inf}"), HasSubstr("b: inf is out of range"));
  EXPECT_THAT(refused("{name: isotonic, logit: [1, 0], p: [0.1, 0.2]}"), HasSubstr("knot 2 is 0"));
  EXPECT_THAT(refused("{name: isotonic, logit: [0, .nan], p: [0.1, 0.2]}"), HasSubstr("knot 2 is nan"));
  EXPECT_THAT(refused("{name: isotonic, logit: [0, 1], p: [0.3, 0.2]}"), HasSubstr("probability 2 is 0.2"));
  EXPECT_THAT(refused("{name: isotonic, logit: [0, 1], p: [0, 0.2]}"), HasSubstr("probability 1 is 0"));
  EXPECT_THAT(refused("{name: isotonic, logit: [0, 1], p: [0.2]}"), HasSubstr("1 probabilities for 2 knots"));
  EXPECT_THAT(refused("{name: isotonic, logit: [], p: []}"), HasSubstr("0 probabilities for 0 knots"));
  EXPECT_THAT(refused("plat"), HasSubstr("did you mean 'platt'?"));
}

}  // namespace
}  // namespace interplay::calibrator_test
