// Values and gradients were computed in float64 from the definition.
#include <interplay/nn/noise_contrastive.h>

#include <cmath>

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <interplay/nn/table_storage.h>

#include "support/error_of.h"
#include "support/stored.h"

namespace interplay::nn::noise_contrastive_test {
namespace {

using interplay::testing::config_error;
using interplay::testing::expect_near;
using ::testing::HasSubstr;

constexpr double kTolerance = 1e-5;

at::Tensor matrix(const std::vector<float>& values, int64_t width) {
  return at::tensor(values).view({int64_t(values.size()) / width, width});
}

/// Five classes that occur 10, 5, 3, 1 and 1 times, of two numbers each; two vectors, each with three noise classes.
class Nce : public ::testing::Test {
 protected:
  Nce() {
    const at::NoGradGuard no_grad;
    layer_->set_counts(at::tensor({10, 5, 3, 1, 1}, at::kLong));
    weight("output").slice(0, 1).copy_(
        matrix({0.715, 0.885, -0.167, -0.783, -0.359, 0.912, 0.799, -0.324, -0.215, 0.675}, 2));
  }
  at::Tensor weight(const std::string& name) { return table(name).weight(); }
  TableStorage& table(const std::string& name) {
    for (const auto& t : tables_of(*layer_)) {
      if (t.name == name) return t.table->table();
    }
    throw Error("no table " + name);
  }
  /// Gradients of all classes, of a table's tape.
  at::Tensor gradient(const std::string& name) {
    const auto taken = table(name).take();
    return at::zeros({6, table(name).width()}).index_copy(0, taken.rows, taken.grad).slice(0, 1);
  }

  NoiseContrastive layer_{5, 2, 3};
  at::Tensor z_ = matrix({-0.416, 0.975, 0.758, -0.219}, 2).requires_grad_();
  at::Tensor target_ = at::tensor({int64_t{1}, int64_t{3}});
  at::Tensor noise_ = at::tensor({0, 2, 0, 1, 4, 0}, at::kLong).view({2, 3});
};

TEST_F(Nce, HasTheValueAndTheGradientsOfTheDefinition) {
  expect_near(weight("bias").slice(0, 1).squeeze(1),
              at::tensor({0.91629073, 0.22314355, -0.28768207, -1.38629436, -1.38629436}, at::kFloat), kTolerance,
              "bias");
  const auto loss = layer_(z_, target_, noise_);
  expect_near(loss, at::tensor({3.53352527, 1.83063605}, at::kFloat), kTolerance, "loss");
  loss.mean().backward();
  expect_near(z_.grad(), matrix({0.24891436, 0.88401621, -0.16931698, 0.20481513}, 2), kTolerance, "z");
  expect_near(gradient("output"),
              matrix({-0.03227336, 0.32541271, 0.27628196, -0.44621220, -0.10087739, 0.23643138, -0.22890279,
                      0.06613418, 0.07440815, -0.02149790},
                     2),
              kTolerance, "output");
  expect_near(gradient("bias"), matrix({0.53013698, -0.29936517, 0.24249372, -0.30198258, 0.09816378}, 1), kTolerance,
              "bias");
}

TEST_F(Nce, AtItsStartALogitIsTheProductLessLogK) {
  const at::NoGradGuard no_grad;
  const auto logit = z_.matmul(weight("output").slice(0, 1).t()) - std::log(3.0);  // [2, 5]
  const auto cost = [&](int64_t row, int64_t c, double of) {
    return at::binary_cross_entropy_with_logits(logit[row][c], at::full({}, of)).item<double>();
  };
  const auto loss = layer_(z_, target_, noise_);
  EXPECT_NEAR(loss[0].item<double>(), cost(0, 1, 1) + 2 * cost(0, 0, 0) + cost(0, 2, 0), kTolerance);
  EXPECT_NEAR(loss[1].item<double>(), cost(1, 3, 1) + cost(1, 1, 0) + cost(1, 4, 0) + cost(1, 0, 0), kTolerance);
}

TEST_F(Nce, NoiseMayBeTheTarget) {
  const at::NoGradGuard no_grad;
  const auto noise = at::full({2, 3}, 1, at::kLong);
  const double logit = (z_[0] * weight("output")[2]).sum().item<double>() - std::log(3.0);
  const double expected = std::log1p(std::exp(-logit)) + 3 * std::log1p(std::exp(logit));
  EXPECT_NEAR(layer_(z_, target_, noise)[0].item<double>(), expected, kTolerance);
}

TEST_F(Nce, ClassesAreRankedByWhatTheLossScoresThemBy) {
  const at::NoGradGuard no_grad;
  const auto scores = layer_->scores(z_, 1, 3);
  const auto all = z_.matmul(weight("output").slice(0, 1).t()) + weight("bias").slice(0, 1).squeeze(1);
  expect_near(scores, all.slice(1, 1, 4), kTolerance, "scores");
  EXPECT_THAT(config_error([&] { layer_->scores(z_, 3, 3); }), HasSubstr("classes 3 to 6 of 5"));
}

TEST_F(Nce, DrawsNoiseAsOftenAsClassesOccur) {
  at::manual_seed(5);
  constexpr int64_t kRows = 100000;
  const auto drawn = at::bincount(layer_->draw(kRows).flatten(), {}, 5).to(at::kDouble);
  const auto expected = at::tensor({10., 5., 3., 1., 1.}, at::kDouble) * (3 * kRows / 20.0);
  const double chi_square = ((drawn - expected).square() / expected).sum().item<double>();
  EXPECT_LT(chi_square, 13.28);  // 4 degrees of freedom at 1%
}

TEST_F(Nce, FollowsCountsThatAreLoaded) {
  const at::NoGradGuard no_grad;
  layer_->draw(1);
  for (const auto& b : layer_->named_buffers()) b.value().copy_(at::tensor({0, 0, 0, 0, 9}, at::kLong));
  EXPECT_GT((layer_->draw(1000) == 4).to(at::kDouble).mean().item<double>(), 0.99);
}

TEST_F(Nce, SaysWhatDoesNotFit) {
  EXPECT_THAT(config_error([] { NoiseContrastive(5, 2, 0); }), HasSubstr("0 noise classes; expected 1 or more"));
  EXPECT_THAT(config_error([&] { layer_->set_counts(at::ones({4}, at::kLong)); }), HasSubstr("[4] of 5 classes"));
  EXPECT_THAT(config_error([&] { layer_(z_, target_, noise_.slice(0, 1)); }), HasSubstr("noise [1, 3]"));
}

}  // namespace
}  // namespace interplay::nn::noise_contrastive_test
