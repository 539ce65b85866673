#include <interplay/explain/effect_curve.h>

#include <cmath>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "explain_support.h"

namespace interplay::effect_curve_test {
namespace {

TEST(EffectCurve, IsTheMeanProbabilityWhereEveryRowHasTheValue) {
  std::vector<std::vector<float>> values;
  for (int i = 0; i <= 40; ++i) values.push_back({float(i), float(i * 7 % 41) / 41});
  const Dataset data = testing::numeric_rows(values, std::vector<float>(values.size(), 1));
  const auto model = testing::blank_model("{name: lr}", data.schema());
  testing::set_weight(*model, "linear.weights.numeric", {0.1f, 1});
  const auto curves = effect_curves({*model}, SampledRows(data), {.points = 3});
  ASSERT_EQ(curves.size(), 2u);
  EXPECT_EQ(curves[0].field, "a");
  ASSERT_EQ(curves[0].points.size(), 3u);
  for (const auto& point : curves[0].points) {
    double sum = 0, squares = 0;
    for (const auto& row : values) {
      const double p = 1 / (1 + std::exp(-0.1 * point.value - row[1]));
      sum += p, squares += p * p;
    }
    const double mean = sum / 41, deviation = std::sqrt((squares - 41 * mean * mean) / 40);
    EXPECT_NEAR(point.p.value, mean, 1e-6);
    EXPECT_NEAR(point.p.high - point.p.low, 2 * 1.96 * deviation / std::sqrt(41.0), 1e-5);
  }
  EXPECT_EQ(curves[0].points[0].value, 1);  // 2.5%, 50% and 97.5% of 0 to 40
  EXPECT_EQ(curves[0].points[1].value, 20);
  EXPECT_EQ(curves[0].points[2].value, 39);
}

TEST(EffectCurve, HasEachValueOnce) {
  const Dataset data = testing::numeric_rows({{0}, {0}, {0}, {5}}, {0, 1, 0, 1});
  const auto model = testing::blank_model("{name: lr}", data.schema());
  const auto curves = effect_curves({*model}, SampledRows(data));
  EXPECT_EQ(curves[0].points.size(), 2u);
  EXPECT_EQ(curves[0].points[0].p.value, 0.5);
}

TEST(RawNumber, TurnsTheTransformRound) {
  Field field = testing::make_field("price", FieldKind::numeric);
  EXPECT_EQ(raw_number(field, 12.5), 12.5);
  field.encoding = Config::parse("{values: {transform: standardise, shift: 30, scale: 4}}");
  EXPECT_EQ(raw_number(field, -1.5), 24);
  field.encoding = Config::parse("{values: {transform: log1p, shift: 1, scale: 2}}");
  EXPECT_NEAR(raw_number(field, (std::log1p(99.0) - 1) / 2), 99, 1e-5);
  EXPECT_NEAR(raw_number(field, (-std::log1p(7.0) - 1) / 2), -7, 1e-5);
}

}  // namespace
}  // namespace interplay::effect_curve_test
