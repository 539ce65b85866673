// Values and gradients were computed in float64 from the definition.
#include <interplay/nn/contrastive.h>

#include <cmath>

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/optim/adam.h>

#include "support/error_of.h"
#include "support/stored.h"

namespace interplay::nn::contrastive_test {
namespace {

using interplay::testing::config_error;
using interplay::testing::expect_near;
using ::testing::HasSubstr;

constexpr double kTolerance = 1e-5;

at::Tensor matrix(const std::vector<float>& values, int64_t width) {
  return at::tensor(values).view({int64_t(values.size()) / width, width});
}

const auto kRows = [] { return matrix({0.307, -0.77, 0.901, -0.036, 0.745, -0.575}, 2); };
const auto kTexts = [] { return matrix({0.141, 0.129, -0.023, -0.327, -0.248, 0.064}, 2); };

TEST(InfoNce, HasTheValueAndTheGradientOfTheDefinition) {
  const auto rows = kRows().requires_grad_();
  const auto loss = info_nce(rows, kTexts(), 0.7).mean();
  EXPECT_NEAR(loss.item<double>(), 1.239614252862562, kTolerance);
  loss.backward();
  expect_near(rows.grad(), matrix({-0.08923544, -0.09870745, 0.00063402, 0.14116517, 0.10360961, -0.06087341}, 2),
              kTolerance, "gradient");
  EXPECT_NEAR(info_nce(kRows(), kTexts(), 0.7, true).mean().item<double>(), 1.8925484817860714, kTolerance);
}

TEST(InfoNce, IsTheSameFromEitherSide) {
  expect_near(info_nce(kRows(), kTexts(), 0.7), info_nce(kTexts(), kRows(), 0.7), 1e-6, "each row");
}

TEST(InfoNceOfPassages, HasTheValuesAndTheGradientOfTheDefinition) {
  const auto j = interplay::testing::reference_json("systems/recfound.json").at("info_nce");
  const auto passages = interplay::testing::json_tensor(j["p"]);
  auto queries = interplay::testing::json_tensor(j["q"]).requires_grad_();
  EXPECT_NEAR(info_nce_of_passages(queries, passages, 0.02).mean().item<double>(), j["loss_tau_0_02"].get<double>(),
              1e-4);  // of 51
  const auto loss = info_nce_of_passages(queries, passages, 0.5).mean();
  EXPECT_NEAR(loss.item<double>(), j["loss_tau_0_5"].get<double>(), kTolerance);
  loss.backward();
  expect_near(queries.grad(), interplay::testing::json_tensor(j["grad_q_tau_0_5"]), kTolerance, "gradient");
}

// Own passages lie at places 0, g, 2 g: with the others as far away as can be, each query finds its own.
TEST(InfoNceOfPassages, TheFirstOfEachGroupIsLookedFor) {
  const auto queries = matrix({1, 0, 0, 1}, 2), passages = matrix({1, 0, -1, 0, 0, 1, 0, -1}, 2);
  EXPECT_LT(info_nce_of_passages(queries, passages, 0.02).max().item<double>(), 1e-6);
  EXPECT_GT(info_nce_of_passages(queries, passages.flip(0), 0.02).min().item<double>(), 40);
}

TEST(InfoNceOfPassages, OtherShapesAreRefused) {
  EXPECT_THAT(config_error([] { info_nce_of_passages(kRows(), at::zeros({4, 2}), 1); }), HasSubstr("[3, 2]"));
  EXPECT_THAT(config_error([] { info_nce_of_passages(kRows(), at::zeros({3, 3}), 1); }), HasSubstr("[B g, K]"));
}

TEST(InfoNce, OfOneRowIsNothing) {
  EXPECT_NEAR(info_nce(kRows().slice(0, 0, 1), kTexts().slice(0, 0, 1), 0.7).item<double>(), 0, 1e-6);
  EXPECT_THAT(config_error([] { info_nce(kRows(), kTexts().slice(0, 1), 0.7); }), HasSubstr("[3, 2] and [2, 2]"));
}

TEST(Standardised, HasMeanZeroAndDeviationOneOverTheRows) {
  // 1, 2, 6: mean 3, squares 4, 1, 9, deviation sqrt(14 / 3); however small they are beside what all rows have
  const auto x = matrix({1, 5, 1e-4, 2, 5, 2e-4, 6, 5, 6e-4}, 3);
  const double d = std::sqrt(14.0 / 3);
  const auto expected = matrix({-2 / d, 0, -2 / d, -1 / d, 0, -1 / d, 3 / d, 0, 3 / d}, 3);
  expect_near(standardised(x), expected, 1e-4, "standardised");
}

/// Two views of rows that differ in a hundredth of what they have in common: 200 steps of Adam through the heads.
double contrasted(bool standardise) {
  at::manual_seed(1);
  ProjectionHead a(16, 32), b(16, 32);
  auto parameters = a->parameters();
  for (const auto& p : b->parameters()) parameters.push_back(p);
  torch::optim::Adam adam(parameters, torch::optim::AdamOptions(1e-3));
  const auto common = at::randn({1, 16}), other = at::randn({1, 16}), mixed = at::randn({16, 16}) / 4;
  double last = 0;
  for (int step = 0; step < 200; ++step) {
    const auto rows = at::randn({64, 16}) * 0.01;
    const auto seen = [&](const at::Tensor& x) { return standardise ? standardised(x) : x; };
    const auto loss = info_nce(a(seen(common + rows)), b(seen(other + rows.matmul(mixed))), 3.2).mean();
    adam.zero_grad();
    loss.backward();
    adam.step();
    last = loss.item<double>();
  }
  return last;
}

TEST(Standardised, WhatRowsHaveInCommonDoesNotHideWhatTheyDifferIn) {
  const double chance = std::log(64.0);
  EXPECT_LT(contrasted(true), 0.3 * chance);
  EXPECT_GT(contrasted(false), 0.7 * chance) << "so that the test can fail";
}

TEST(ProjectionHead, HasTheValueOfTheDefinition) {
  const at::NoGradGuard no_grad;
  ProjectionHead head(4, 3, 0.2);
  head->eval();
  head->first->weight.copy_(
      matrix({0.318, 0.689, -0.688, -0.482, 0.387, -0.718, 0.282, -0.106, 0.577, -0.084, 0.632, 0.926}, 4));
  head->first->bias.copy_(at::tensor({-0.054f, -0.028f, 0.046f}));
  head->second->weight.copy_(matrix({-0.337, -0.766, 0.437, -0.591, 0.523, 0.084, -0.47, -0.175, -0.788}, 3));
  head->second->bias.copy_(at::tensor({-0.089f, 0.1f, 0.047f}));
  const auto x = matrix({0.022, 0.171, 0.423, -0.349, 0.041, 0.479, 0.684, -0.695}, 4);
  const auto expected = matrix({-1.35231243, 1.03293192, 0.31938051, 1.36245226, -0.35949289, -1.00295938}, 3);
  expect_near(head(x), expected, 1e-4, "projection");  // norms of three numbers, one of them small
  head->train();
  const auto many = x.repeat({100, 1});  // so that two draws differ
  EXPECT_FALSE(at::allclose(head(many), head(many)));
}

}  // namespace
}  // namespace interplay::nn::contrastive_test
