#include <interplay/explain/pair_strength.h>

#include <cmath>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "explain_support.h"

namespace interplay::pair_strength_test {
namespace {

/// Every combination of two values of each number: fields are independent.
Dataset combinations(const std::vector<std::pair<float, float>>& values) {
  std::vector<std::vector<float>> rows{{}};
  for (const auto& [low, high] : values) {
    std::vector<std::vector<float>> longer;
    for (const auto& row : rows) {
      for (const float v : {low, high}) {
        longer.push_back(row);
        longer.back().push_back(v);
      }
    }
    rows = std::move(longer);
  }
  return testing::numeric_rows(rows, std::vector<float>(rows.size(), 1));
}

std::vector<PairStrength> statistics(const Dataset& data, const Model& model) {
  const SampledRows rows(data);
  return h_statistics({const_cast<Model&>(model)}, rows, each_field(data.schema()), {.rows = rows.rows()});
}

TEST(HStatistic, OfASumIsZero) {
  const Dataset data = combinations({{0, 2}, {-1, 3}, {1, 4}});
  const auto model = testing::blank_model("{name: lr}", data.schema());
  testing::set_weight(*model, "linear.weights.numeric", {2, -1, 0.5});
  for (const auto& pair : statistics(data, *model)) {
    EXPECT_LT(pair.strength, 1e-6) << pair.first << pair.second;  // the rounding of logits in float
    EXPECT_LT(pair.h, 1e-6);
  }
}

TEST(HStatistic, OfAProductOfNumbersOfMeanZeroIsOne) {
  const Dataset data = combinations({{-1, 1}, {-2, 2}});
  const auto model = testing::blank_model("{name: fm, embedding_dim: 1}", data.schema());
  testing::set_weight(*model, "fields.numeric", {1, 1});
  const auto found = statistics(data, *model);
  ASSERT_EQ(found.size(), 1u);
  EXPECT_NEAR(found[0].h, 1, 1e-6);
  EXPECT_NEAR(found[0].strength, 2, 1e-6);  // the product is 2 or -2
}

// With means m and deviations s: H^2 = sa^2 sb^2 / (sa^2 sb^2 + ma^2 sb^2 + mb^2 sa^2), and the strength is sa sb.
TEST(HStatistic, OfAProductOfOtherNumbersIsTheShareOfItsCentredPart) {
  const Dataset data = combinations({{0, 2}, {1, 5}, {-3, 1}});  // m 1, 3, -1; s 1, 2, 2
  const auto model = testing::blank_model("{name: fm, embedding_dim: 1}", data.schema());
  testing::set_weight(*model, "fields.numeric", {1, 1, 0});
  testing::set_weight(*model, "linear.weights.numeric", {0, 0, 7});
  const auto found = statistics(data, *model);
  ASSERT_EQ(found.size(), 3u);
  EXPECT_EQ(found[0].first + found[0].second, "ab");
  EXPECT_NEAR(found[0].h, std::sqrt(4.0 / (4 + 4 + 9)), 1e-6);
  EXPECT_NEAR(found[0].strength, 2, 1e-5);
  EXPECT_LT(found[1].strength, 1e-5);  // c is added, whatever it is worth
}

TEST(OwnPairs, AreTheWeightsThatFwFmLearns) {
  const Dataset data = combinations({{0, 1}, {0, 1}, {0, 1}});
  const auto model = testing::blank_model("{name: fwfm}", data.schema());
  testing::set_weight(*model, "strength", {0.25, -3, 1});  // ab, ac, bc
  const auto found = own_pair_strengths(*model);
  ASSERT_EQ(found.size(), 3u);
  EXPECT_EQ(found[0].first + found[0].second, "ac");
  EXPECT_EQ(found[0].strength, -3);
  EXPECT_EQ(found[2].first + found[2].second, "ab");
  EXPECT_TRUE(std::isnan(found[0].h));
}

TEST(OwnPairs, AreGatesWhereThereAreSomeAndNoneOfAnFm) {
  const Dataset data = combinations({{0, 1}, {0, 1}, {0, 1}});
  const auto gated = testing::blank_model("{name: fm, gates: true}", data.schema());
  testing::set_weight(*gated, "interactions.order2.gate", {0, 0.5, 0.75});
  const auto found = own_pair_strengths(*gated);
  ASSERT_EQ(found.size(), 3u);
  EXPECT_EQ(found[0].first + found[0].second, "bc");
  EXPECT_EQ(found[2].strength, 0);
  EXPECT_TRUE(own_pair_strengths(*testing::blank_model("{name: fm}", data.schema())).empty());
  EXPECT_TRUE(own_pair_strengths(*testing::blank_model("{name: lr}", data.schema())).empty());
}

}  // namespace
}  // namespace interplay::pair_strength_test
