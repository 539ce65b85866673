#include <interplay/core/loss.h>

#include <cmath>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include <ATen/ATen.h>
#include <torch/types.h>

#include <interplay/data/no_group.h>

namespace interplay::loss_test {
namespace {

at::Tensor rows(const std::vector<float>& values) { return at::tensor(values).view({-1, 2}); }

// The rows of tests/reference/metrics_and_losses.py, [B, T] = [3, 2].
const std::vector<float> kLogit = {-2.0f, 0.5f, 1.5f, 0.0f, 3.0f, -0.25f};
const std::vector<float> kLabel = {0, 1, 1, 0, 0, 1};

struct Result {
  double value;
  at::Tensor gradient;
};

Result run(const std::string& loss, at::Tensor logit, const at::Tensor& label, const at::Tensor& weight = {}) {
  logit = logit.clone().set_requires_grad(true);
  const auto value =
      losses().make(Config::parse(loss))->forward({logit, label, weight, at::zeros({logit.size(0)}, at::kLong)});
  value.backward();
  return {value.item<double>(), logit.grad()};
}

// f32 against PyTorch's f32: a few units in the last place.
void expect(const Result& result, double value, const std::vector<float>& gradient) {
  EXPECT_NEAR(result.value, value, 1e-6);
  EXPECT_TRUE(at::allclose(result.gradient, rows(gradient), 1e-5, 1e-8)) << result.gradient;
}

TEST(Loss, EqualsPyTorchsCrossEntropy) {
  expect(run("bce", rows(kLogit), rows(kLabel)), 0.895015299,
         {0.0198671538f, -0.0629234463f, -0.0304042604f, 0.0833333358f, 0.158762366f, -0.0936960801f});
}

TEST(Loss, EqualsPyTorchsCrossEntropyWithPositiveWeight) {
  expect(run("{name: bce, pos_weight: 3}", rows(kLogit), rows(kLabel)), 1.39549196,
         {0.0198671538f, -0.188770339f, -0.0912127942f, 0.0833333358f, 0.158762366f, -0.281088263f});
}

TEST(Loss, EqualsPyTorchsSquaredErrorOfTheProbability) {
  expect(run("mse", rows(kLogit), rows(kLabel)), 0.27724418,
         {0.00417184737f, -0.0295744874f, -0.00906937663f, 0.0416666679f, 0.0143447043f, -0.046123594f});
}

TEST(Loss, EqualsTorchvisionsFocalLoss) {
  expect(run("focal", rows(kLogit), rows(kLabel)), 0.38164255,
         {0.000608867675f, -0.00574737415f, -0.000709629676f, 0.0372858495f, 0.140843734f, -0.0169268064f});
  expect(run("{name: focal, gamma: 0.5, alpha: ~}", rows(kLogit), rows(kLabel)), 0.750994444,
         {0.0100758802f, -0.053772755f, -0.0188471302f, 0.0793476105f, 0.166711226f, -0.0928463191f});
}

TEST(Loss, DividesByTheSumOfWeights) {
  expect(run("bce", rows(kLogit), rows(kLabel), at::tensor({1.0f, 2.0f, 0.5f})), 0.618198454,
         {0.0170289893f, -0.0539343804f, -0.0521215908f, 0.142857149f, 0.0680410117f, -0.0401554629f});
}

TEST(Loss, RefusesLabelsOfAnotherShape) {
  EXPECT_THROW(run("bce", rows(kLogit), at::zeros({3})), Error);
  EXPECT_THROW(run("bce", rows(kLogit), rows(kLabel), at::ones({2})), Error);
}

class EveryLoss : public ::testing::TestWithParam<std::string> {};
std::string loss_name(const ::testing::TestParamInfo<std::string>& info) { return info.param; }
INSTANTIATE_TEST_SUITE_P(Every, EveryLoss, ::testing::ValuesIn(losses().names()), loss_name);

TEST_P(EveryLoss, IsFiniteWithItsGradientAtExtremeLogits) {
  const auto logit = at::tensor({-1e4f, -100.0f, -20.0f, 20.0f, 100.0f, 1e4f});
  for (const float y : {0.0f, 1.0f}) {
    const auto result = run(GetParam(), logit, at::full({6}, y));
    EXPECT_TRUE(std::isfinite(result.value));
    EXPECT_TRUE(at::isfinite(result.gradient).all().item<bool>()) << result.gradient;
  }
}

TEST_P(EveryLoss, FallsAlongItsGradient) {
  const auto logit = at::tensor(kLogit), label = at::tensor(kLabel);
  const auto before = run(GetParam(), logit, label);
  EXPECT_LT(run(GetParam(), logit - 0.1 * before.gradient, label).value, before.value);
}

TEST_P(EveryLoss, CountsWeightTwoAsTheRowTwice) {
  const auto z = at::tensor({0.5f, -1.0f}), y = at::tensor({1.0f, 0.0f});
  const auto weighted = run(GetParam(), z, y, at::tensor({2.0f, 1.0f}));
  const auto repeated = run(GetParam(), at::tensor({0.5f, 0.5f, -1.0f}), at::tensor({1.0f, 1.0f, 0.0f}));
  EXPECT_NEAR(weighted.value, repeated.value, 1e-6);
}

TEST_P(EveryLoss, IsZeroWithNoGradientWhereAllWeightsAreZero) {
  const auto result = run(GetParam(), at::tensor({0.5f, -1.0f}), at::tensor({1.0f, 0.0f}), at::zeros({2}));
  EXPECT_EQ(result.value, 0);
  EXPECT_TRUE(at::equal(result.gradient, at::zeros({2})));
}

// Two groups in turns; the third has no negative. Logits 1, 0 | -1, 2 | 5.
LossInput of_groups(const at::Tensor& weight = {}) {
  return {at::tensor({1.0f, -1.0f, 0.0f, 2.0f, 5.0f}).set_requires_grad(true),
          at::tensor({1.0f, 1.0f, 0.0f, 0.0f, 1.0f}), weight, at::tensor({7, -3, 7, -3, 9}, at::kLong)};
}

double softplus(double x) { return std::log1p(std::exp(x)); }
double p(double x) { return 1 / (1 + std::exp(-x)); }

TEST(PairwiseLoss, ComparesPositivesWithNegativesOfTheirGroup) {
  const LossInput in = of_groups();
  const auto value = losses().make(Config::scalar("bpr"))->forward(in);
  value.backward();
  EXPECT_NEAR(value.item<double>(), (softplus(0 - 1) + softplus(2 + 1)) / 2, 1e-6);
  const auto expected = at::tensor({-p(-1) / 2, -p(3) / 2, p(-1) / 2, p(3) / 2, 0.0}).to(at::kFloat);
  EXPECT_TRUE(at::allclose(in.logit.grad(), expected, 1e-5, 1e-7)) << in.logit.grad();
  // A pair counts by the product of its weights; a row of weight 0 (no label) is in no pair.
  const auto weighted =
      losses().make(Config::scalar("bpr"))->forward(of_groups(at::tensor({1.0f, 2.0f, 3.0f, 0.5f, 1.0f})));
  EXPECT_NEAR(weighted.item<double>(), (3 * softplus(-1) + 1 * softplus(3)) / 4, 1e-6);
  const auto one = losses().make(Config::scalar("bpr"))->forward(of_groups(at::tensor({1.0f, 0.0f, 1.0f, 1.0f, 1.0f})));
  EXPECT_NEAR(one.item<double>(), softplus(-1), 1e-6);
}

TEST(ListwiseLoss, IsTheSoftmaxWithinTheGroup) {
  const LossInput in = of_groups();
  const auto value = losses().make(Config::scalar("softmax"))->forward(in);
  value.backward();
  EXPECT_NEAR(value.item<double>(), (softplus(0 - 1) + softplus(2 + 1)) / 2, 1e-6);  // lists of two
  const auto expected = at::tensor({-p(-1) / 2, -p(3) / 2, p(-1) / 2, p(3) / 2, 0.0}).to(at::kFloat);
  EXPECT_TRUE(at::allclose(in.logit.grad(), expected, 1e-5, 1e-7)) << in.logit.grad();
  const LossInput three{at::tensor({1.0f, 2.0f, 3.0f}), at::tensor({0.0f, 1.0f, 1.0f}), {}, at::zeros({3}, at::kLong)};
  const double all = std::log(std::exp(1) + std::exp(2) + std::exp(3));
  EXPECT_NEAR(losses().make(Config::scalar("softmax"))->forward(three).item<double>(), all - 2.5, 1e-6);
}

TEST(GroupedLosses, RowsThatAreNobodysAreComparedWithNone) {
  for (const char* name : {"bpr", "softmax"}) {
    LossInput in = of_groups();
    in.group = at::tensor({kNoGroup, int64_t(-3), kNoGroup, int64_t(-3), kNoGroup}, at::kLong);
    const auto value = losses().make(Config::scalar(name))->forward(in);
    value.backward();
    EXPECT_NEAR(value.item<double>(), softplus(2 + 1), 1e-6) << name;
    const auto expected = at::tensor({0.0, -p(3), 0.0, p(3), 0.0}).to(at::kFloat);
    EXPECT_TRUE(at::allclose(in.logit.grad(), expected, 1e-5, 1e-7)) << name << in.logit.grad();
  }
}

TEST(GroupedLosses, AskForGroups) {
  for (const char* name : {"bpr", "softmax"}) {
    try {
      losses().make(Config::scalar(name))->forward({at::zeros({2}), at::zeros({2})});
      FAIL() << name;
    } catch (const Error& problem) {
      EXPECT_NE(std::string(problem.what()).find("group: user_id"), std::string::npos) << problem.what();
    }
  }
}

}  // namespace
}  // namespace interplay::loss_test
