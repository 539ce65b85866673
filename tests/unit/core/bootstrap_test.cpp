#include <interplay/core/bootstrap.h>

#include <cmath>
#include <vector>

#include <gtest/gtest.h>

#include <ATen/Parallel.h>

#include <interplay/base/error.h>

namespace interplay::bootstrap_test {
namespace {

// Two noisy models on the 2000 rows of tests/reference/metrics_and_losses.py.
struct TwoModels {
  std::vector<float> label, a, b;
  TwoModels() {
    for (int i = 0; i < 2000; ++i) {
      const bool click = i * 7919 % 10 < 3;
      label.push_back(click);
      a.push_back(float(std::sin(i * 1.7) + 0.8 * click));
      b.push_back(float(std::sin(i * 2.3) + 0.5 * click));
    }
  }
};

TEST(Bootstrap, SpreadsAsDeLongSays) {
  const TwoModels rows;
  const auto d = bootstrap_auc_difference({rows.label, rows.a, rows.b}, 2000, 7);
  EXPECT_NEAR(d.auc_a, 0.769516667, 1e-8);  // printed to nine places
  EXPECT_NEAR(d.auc_b, 0.690198810, 1e-8);
  // The deviation of 2000 replicates is itself known to 1 / sqrt(4000) = 1.6%; 5% is three of these.
  EXPECT_NEAR(d.standard_error, 0.016866328, 0.05 * 0.016866328);
  EXPECT_NEAR(d.mean, d.difference, 4 * d.standard_error / std::sqrt(2000.0));
  EXPECT_NEAR(d.low, d.difference - 1.96 * d.standard_error, 0.2 * d.standard_error);
  EXPECT_NEAR(d.high, d.difference + 1.96 * d.standard_error, 0.2 * d.standard_error);
  EXPECT_EQ(d.replicates, 2000);
}

TEST(Bootstrap, CountsRowsByTheirWeights) {
  const TwoModels rows;
  std::vector<float> weight, two(2000, 2.f);
  for (int i = 0; i < 2000; ++i) weight.push_back(float(1 + 4 * (i % 3)));
  const auto d = bootstrap_auc_difference({rows.label, rows.a, rows.b, weight}, 2000, 7);
  // Weighted sums over all pairs of rows, and the deviation by their influence on the difference, in double.
  EXPECT_NEAR(d.auc_a, 0.7676214241212788, 1e-12);
  EXPECT_NEAR(d.auc_b, 0.6867635510800527, 1e-12);
  EXPECT_NEAR(d.standard_error, 0.020210417, 0.05 * 0.020210417);  // without weights it is 0.0169
  const auto plain = bootstrap_auc_difference({rows.label, rows.a, rows.b}, 50, 7);
  const auto doubled = bootstrap_auc_difference({rows.label, rows.a, rows.b, two}, 50, 7);
  EXPECT_EQ(plain.low, doubled.low);  // only how weights differ counts
  EXPECT_EQ(plain.high, doubled.high);
}

TEST(Bootstrap, FindsNoDifferenceOfAModelFromItself) {
  const TwoModels rows;
  const auto d = bootstrap_auc_difference({rows.label, rows.a, rows.a}, 50);
  EXPECT_EQ(d.difference, 0);
  EXPECT_EQ(d.low, 0);
  EXPECT_EQ(d.high, 0);
}

TEST(Bootstrap, DependsOnTheSeedAndNotOnTheThreads) {
  const TwoModels rows;
  const int threads = at::get_num_threads();
  at::set_num_threads(1);
  const auto one = bootstrap_auc_difference({rows.label, rows.a, rows.b}, 40, 7);
  at::set_num_threads(2);
  const auto two = bootstrap_auc_difference({rows.label, rows.a, rows.b}, 40, 7);
  at::set_num_threads(threads);
  const auto other = bootstrap_auc_difference({rows.label, rows.a, rows.b}, 40, 8);
  EXPECT_EQ(one.low, two.low);
  EXPECT_EQ(one.mean, two.mean);
  EXPECT_NE(one.mean, other.mean);
}

TEST(Bootstrap, RefusesLabelsOfOneClass) {
  const std::vector<float> label = {1, 1}, logit = {0, 1};
  EXPECT_THROW(bootstrap_auc_difference({label, logit, logit}, 10), Error);
}

}  // namespace
}  // namespace interplay::bootstrap_test
