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

std::vector<double> differences_of_loss(const Replicates& drawn) {
  std::vector<double> out;
  for (const auto& models : drawn.drawn) out.push_back(models[0].logloss - models[1].logloss);
  return out;
}

double deviation(const std::vector<double>& values) {
  double mean = 0, squares = 0;
  for (const double v : values) mean += v / double(values.size());
  for (const double v : values) squares += (v - mean) * (v - mean);
  return std::sqrt(squares / double(values.size() - 1));
}

TEST(Bootstrap, OfSeveralModelsDrawsTheSameRowsForEach) {
  const TwoModels rows;
  const auto drawn = bootstrap({rows.label, {rows.a, rows.b, rows.a}}, 2000, 7);
  // Means of log losses, and the deviation of their difference over sqrt(N), in double.
  EXPECT_NEAR(drawn.whole[0].logloss, 0.654859447401, 1e-7);
  EXPECT_NEAR(drawn.whole[1].logloss, 0.687281680235, 1e-7);
  EXPECT_NEAR(drawn.whole[0].auc, 0.769516667, 1e-8);
  EXPECT_NEAR(deviation(differences_of_loss(drawn)), 0.010450841774, 0.05 * 0.010450841774);
  for (const auto& models : drawn.drawn) {
    EXPECT_EQ(models[0].auc, models[2].auc);
    EXPECT_EQ(models[0].logloss, models[2].logloss);
  }
  std::vector<double> auc;
  for (const auto& models : drawn.drawn) auc.push_back(models[0].auc - models[1].auc);
  const auto pair = bootstrap_auc_difference({rows.label, rows.a, rows.b}, 2000, 7);
  const auto interval = percentile_interval(pair.difference, auc);
  EXPECT_NEAR(interval.low, pair.low, 1e-12);  // the same draws
  EXPECT_NEAR(interval.high, pair.high, 1e-12);
}

TEST(Bootstrap, OfSeveralModelsCountsRowsByTheirWeights) {
  const TwoModels rows;
  std::vector<float> weight;
  for (int i = 0; i < 2000; ++i) weight.push_back(float(1 + 4 * (i % 3)));
  const auto drawn = bootstrap({rows.label, {rows.a, rows.b}, weight}, 2000, 7);
  EXPECT_NEAR(drawn.whole[0].logloss, 0.656120769365, 1e-7);
  EXPECT_NEAR(drawn.whole[0].logloss - drawn.whole[1].logloss, -0.032292776856, 1e-7);
  EXPECT_NEAR(deviation(differences_of_loss(drawn)), 0.012487554752, 0.05 * 0.012487554752);
}

TEST(PercentileInterval, IsNumpysQuantiles) {
  // numpy.quantile([1, 2, 4, 8, 16], [0.05, 0.95]); what is no number does not count.
  const auto interval = percentile_interval(5, {16, 1, NAN, 4, 8, 2}, 0.9);
  EXPECT_EQ(interval.value, 5);
  EXPECT_NEAR(interval.low, 1.2, 1e-12);
  EXPECT_NEAR(interval.high, 14.4, 1e-12);
  EXPECT_THROW(percentile_interval(0, {1, NAN}), Error);
}

TEST(Bootstrap, RefusesLabelsOfOneClass) {
  const std::vector<float> label = {1, 1}, logit = {0, 1};
  EXPECT_THROW(bootstrap_auc_difference({label, logit, logit}, 10), Error);
}

}  // namespace
}  // namespace interplay::bootstrap_test
