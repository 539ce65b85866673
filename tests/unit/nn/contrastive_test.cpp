// Values and gradients were computed in float64 from the definition.
#include <interplay/nn/contrastive.h>

#include <cmath>

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/error_of.h"
#include "support/stored.h"

namespace interplay::nn {
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

TEST(InfoNce, OfOneRowIsNothing) {
  EXPECT_NEAR(info_nce(kRows().slice(0, 0, 1), kTexts().slice(0, 0, 1), 0.7).item<double>(), 0, 1e-6);
  EXPECT_THAT(config_error([] { info_nce(kRows(), kTexts().slice(0, 1), 0.7); }), HasSubstr("[3, 2] and [2, 2]"));
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
}  // namespace interplay::nn
