#include <interplay/base/alias_table.h>

#include <cmath>
#include <limits>
#include <numeric>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <interplay/base/random.h>

#include "support/error_of.h"

namespace interplay::alias_table_test {
namespace {

using interplay::testing::config_error;
using ::testing::HasSubstr;

/// What the table makes of every place: shares that have to add up to the weights'.
std::vector<double> shares(const AliasTable& table) {
  std::vector<double> out(size_t(table.size()), 0.0);
  for (size_t i = 0; i < out.size(); ++i) {
    out[i] += table.keep()[i] / double(table.size());
    out[size_t(table.alias()[i])] += (1 - table.keep()[i]) / double(table.size());
  }
  return out;
}

TEST(AliasTable, ItsPlacesAddUpToTheWeights) {
  for (const std::vector<double>& weights :
       {std::vector<double>{3}, {1, 1, 1, 1}, {0, 5, 0, 1}, {1e-10, 1, 1e6}, {10, 5, 3, 1, 1}}) {
    const double sum = std::accumulate(weights.begin(), weights.end(), 0.0);
    const auto found = shares(AliasTable(weights));
    for (size_t i = 0; i < weights.size(); ++i) EXPECT_NEAR(found[i], weights[i] / sum, 1e-12) << i;
  }
}

TEST(AliasTable, AMillionDrawsAreAsOftenAsTheirWeights) {
  const std::vector<double> weights{10, 5, 3, 1, 1, 20, 0, 7, 2, 51};
  const AliasTable table(weights);
  constexpr int64_t kDraws = 1000000;
  std::vector<double> drawn(weights.size(), 0.0);
  for (uint64_t i = 0; i < kDraws; ++i) ++drawn[size_t(table.draw(random_unit(7, 0, i), random_unit(7, 1, i)))];
  double chi_square = 0;
  for (size_t i = 0; i < weights.size(); ++i) {
    const double expected = double(kDraws) * weights[i] / 100;
    if (expected == 0) {
      EXPECT_EQ(drawn[i], 0);
    } else {
      chi_square += (drawn[i] - expected) * (drawn[i] - expected) / expected;
    }
  }
  EXPECT_LT(chi_square, 20.09);  // chi-square of 8 degrees of freedom at 1%
}

TEST(AliasTable, WeightsThatAreNoneAreRefused) {
  const auto refused = [](const std::vector<double>& weights) {
    return config_error([&] { AliasTable table(weights); });
  };
  EXPECT_THAT(refused({1, -1}), HasSubstr("weight 1 is -1"));
  EXPECT_THAT(refused({std::numeric_limits<double>::quiet_NaN()}), HasSubstr("weight 0 is nan"));
  EXPECT_THAT(refused({0, 0}), HasSubstr("the 2 weights sum to 0"));
  EXPECT_THAT(refused({}), HasSubstr("the 0 weights sum to 0"));
}

}  // namespace
}  // namespace interplay::alias_table_test
