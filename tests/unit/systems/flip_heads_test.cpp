// Values were computed in float64 from the definitions.
#include "systems/flip/heads.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "support/stored.h"

namespace interplay::flip::flip_heads_test {
namespace {

using interplay::testing::expect_near;

constexpr double kTolerance = 1e-5;

at::Tensor tensor(const std::vector<float>& values, std::vector<int64_t> shape) {
  return at::tensor(values).view(shape);
}

class FlipMaskedFeatures : public ::testing::Test {
 protected:
  FlipMaskedFeatures() {
    const at::NoGradGuard no_grad;
    head_->query->weight.copy_(tensor({-0.826, -0.131, -0.547, 0.069, -0.92, 0.973, -0.393, -0.308, 0.146}, {3, 3}));
    head_->query->bias.copy_(tensor({-0.019, -0.019, -0.01}, {3}));
    head_->output->weight.copy_(
        tensor({0.946, -0.607, 0.47,  -0.448, -0.238, -0.148, 0.843, -0.128, -0.707, 0.338, -0.4,   -0.678,
                0.481, 0.886,  0.174, 0.193,  -0.872, 0.208,  0.433, 0.348,  0.457,  0.734, -0.284, -0.189},
               {4, 6}));
    head_->output->bias.copy_(tensor({-0.064, 0.099, 0.004, -0.044}, {4}));
  }
  MaskedFeatureHead head_{3, 3, 2, 2};
  at::Tensor v_ = tensor({0.091, -0.656, 0.706, -0.64, 0.177, -0.758}, {2, 3});
  at::Tensor states_ = tensor({0.238, 0.386, 0.73, -0.475, 0.244, 0.515, -0.877, -0.931, 0.399, -0.629, 0.477, 0.821,
                               -0.694, -0.512, -0.035, -0.677, -0.144, -0.419},
                              {2, 3, 3});
};

TEST_F(FlipMaskedFeatures, AttendToTheTextAndNotBehindItsEnd) {
  const auto z = head_(v_, states_, at::tensor({int64_t{3}, int64_t{2}}));
  expect_near(
      z,
      tensor({0.81227742, -0.75930843, -0.41996974, -0.29126590, -0.79301665, -0.17188014, -0.14167009, -1.06206892},
             {2, 2, 2}),
      kTolerance, "z");
}

TEST_F(FlipMaskedFeatures, AttendToAllOfATextThatFillsItsPlaces) {
  const auto z = head_(v_, states_, at::tensor({int64_t{3}, int64_t{3}}));
  expect_near(
      z,
      tensor({0.81227742, -0.75930843, -0.41996974, -0.29126590, -0.77421107, -0.05881887, -0.21425279, -1.03698499},
             {2, 2, 2}),
      kTolerance, "z");
}

TEST_F(FlipMaskedFeatures, WithoutTheTextAreThoseOfTheIdsAlone) {
  const auto z = head_->forward(v_, {}, {});
  const auto expected = at::addmm(head_->output->bias, v_, head_->output->weight.slice(1, 0, 3).t()).view({2, 2, 2});
  expect_near(z, expected, 1e-6, "z");
}

TEST(FlipMaskedTokens, HaveTheLossOfTheDefinition) {
  const at::NoGradGuard no_grad;
  MaskedTokenHead head(2, 3, 4, 0.2);
  head->eval();
  head->inner->weight.copy_(
      tensor({-0.436, -0.246, -0.318, 0.348, -0.567, -0.451, 0.018, 0.088, 0.342, -0.061}, {2, 5}));
  head->inner->bias.copy_(tensor({-0.072, 0.083}, {2}));
  head->output->weight.copy_(tensor({-0.214, 0.723, -0.448, -0.638, -0.846, 0.568, -0.276, -0.148}, {4, 2}));
  head->output->bias.copy_(tensor({-0.091, -0.091, 0.025, -0.086}, {4}));
  const auto h = tensor({-0.631, -0.956, -0.325, -0.865, -0.11, -0.871}, {3, 2});
  const auto v = tensor({0.576, 0.475, -0.383}, {1, 3}).expand({3, 3});
  const auto logits = head(h, v);
  expect_near(logits,
              tensor({0.16995021, -0.67997397, -0.15181043, -0.31954908, 0.11853217, -0.56099322, -0.11385434,
                      -0.27205963, 0.07501585, -0.47373136, -0.09603126, -0.23861460},
                     {3, 4}),
              kTolerance, "logits");
  // Of three tokens the last two are masked: they alone count.
  const auto loss = at::cross_entropy_loss(logits.slice(0, 1), at::tensor({int64_t{2}, int64_t{0}}));
  EXPECT_NEAR(loss.item<double>(), 1.2354077427488408, kTolerance);
}

}  // namespace
}  // namespace interplay::flip::flip_heads_test
