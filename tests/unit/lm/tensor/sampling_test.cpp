#include "lm/tensor/sampling.h"

#include <cmath>
#include <set>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace interplay::lm::sampling_test {
namespace {

using ::testing::ElementsAre;

constexpr int kSteps = 50000;

/// How large a share of the numbers of a fine grid draws each token.
std::vector<double> shares(const std::vector<float>& logits, const GenerateOptions& options, int steps = kSteps) {
  std::vector<double> out(logits.size(), 0);
  for (int i = 0; i < steps; ++i) out[size_t(choose_token(logits, options, (i + 0.5) / steps))] += 1.0 / steps;
  return out;
}

std::set<int> drawn(const std::vector<float>& logits, const GenerateOptions& options, int steps = kSteps) {
  std::set<int> out;
  const auto found = shares(logits, options, steps);
  for (size_t i = 0; i < found.size(); ++i)
    if (found[i] > 0) out.insert(int(i));
  return out;
}

/// Logits of probabilities .4 .1 .3 .15 .05
std::vector<float> five() {
  std::vector<float> out;
  for (const double p : {0.4, 0.1, 0.3, 0.15, 0.05}) out.push_back(float(std::log(p) + 3));
  return out;
}

TEST(Sampling, TheLikeliestWithoutTemperature) {
  EXPECT_EQ(choose_token(std::vector<float>{1, 5, 5, 2}, {}, 0.9), 1);
  EXPECT_EQ(choose_token(std::vector<float>{-3}, {}, 0.9), 0);
}

TEST(Sampling, AtTemperatureOneProbabilitiesAreThoseOfSoftmax) {
  const auto found = shares(five(), {.temperature = 1});
  const std::vector<double> expected{0.4, 0.1, 0.3, 0.15, 0.05};
  for (size_t i = 0; i < 5; ++i) EXPECT_NEAR(found[i], expected[i], 3e-5);
}

TEST(Sampling, TemperatureTakesRootsOfProbabilities) {
  const auto found = shares(five(), {.temperature = 2});
  const std::vector<double> p{0.4, 0.1, 0.3, 0.15, 0.05};
  double sum = 0;
  for (const double one : p) sum += std::sqrt(one);
  for (size_t i = 0; i < 5; ++i) EXPECT_NEAR(found[i], std::sqrt(p[i]) / sum, 3e-5);
}

TEST(Sampling, TopKLeavesTheLikeliestAndWhatEqualsTheLastOfThem) {
  EXPECT_THAT(drawn(five(), {.temperature = 1, .top_k = 2}), ElementsAre(0, 2));
  EXPECT_THAT(drawn(five(), {.temperature = 1, .top_k = 9}), ElementsAre(0, 1, 2, 3, 4));
  EXPECT_THAT(drawn({1, 2, 2, 0, 3}, {.temperature = 1, .top_k = 2}), ElementsAre(1, 2, 4));
  const auto found = shares(five(), {.temperature = 1, .top_k = 2});
  EXPECT_NEAR(found[0], 4.0 / 7, 3e-5);
}

TEST(Sampling, TopPLeavesTheFewestThatHaveTheShare) {
  EXPECT_THAT(drawn(five(), {.temperature = 1, .top_p = 0.39}), ElementsAre(0));
  EXPECT_THAT(drawn(five(), {.temperature = 1, .top_p = 0.65}), ElementsAre(0, 2));
  EXPECT_THAT(drawn(five(), {.temperature = 1, .top_p = 0.75}), ElementsAre(0, 2, 3));
  EXPECT_THAT(drawn(five(), {.temperature = 1, .top_p = 0.96}), ElementsAre(0, 1, 2, 3, 4));
  EXPECT_THAT(drawn(five(), {.temperature = 1, .top_p = 1e-9}), ElementsAre(0));
}

// Of .4 .3 .15, which top-k leaves, .4 and .3 have .82 of all: top-p counts what is left.
TEST(Sampling, TopPComesAfterTopK) {
  EXPECT_THAT(drawn(five(), {.temperature = 1, .top_k = 3, .top_p = 0.8}), ElementsAre(0, 2));
  EXPECT_THAT(drawn(five(), {.temperature = 1, .top_p = 0.8}), ElementsAre(0, 2, 3));
}

// Square roots .632 .316 .548 .387 .224: the first two have .56 of all, where they had .7 before.
TEST(Sampling, TemperatureComesBeforeTopP) {
  EXPECT_THAT(drawn(five(), {.temperature = 2, .top_p = 0.65}), ElementsAre(0, 2, 3));
}

// More are needed than are sorted at first: of 400 that are all but equal, three quarters.
TEST(Sampling, TopPOfManyThatAreAlike) {
  std::vector<float> logits(400);
  for (size_t i = 0; i < logits.size(); ++i) logits[i] = 1 - float(i * 7 % 400) * 1e-6f;
  const auto found = drawn(logits, {.temperature = 1, .top_p = 0.75}, 4000);
  EXPECT_NEAR(double(found.size()), 300, 1);
  for (const int token : found) EXPECT_LE(token * 7 % 400, 300);
}

// A logit may be so low that its weight is 0 in f64: at low temperatures the likeliest alone is left.
TEST(Sampling, LowTemperaturesAreGreedy) {
  EXPECT_THAT(drawn({50, 49, 48}, {.temperature = 1e-3}), ElementsAre(0));
  EXPECT_THAT(drawn({-1e30f, 3, -1e30f}, {.temperature = 1e-6}), ElementsAre(1));
}

}  // namespace
}  // namespace interplay::lm::sampling_test
