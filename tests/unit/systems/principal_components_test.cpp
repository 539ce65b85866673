#include "systems/lab/principal_components.h"

#include <cmath>
#include <limits>

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/error_of.h"

namespace interplay::principal_components_test {
namespace {

TEST(PrincipalComponents, OfPointsOnALineAreTheirPlacesOnIt) {
  // (5, 5) + t (1, 2) with t = -1, 0, 1, 4, whose mean is 1: places (t - 1) sqrt 5, up to the direction's sign
  const auto rows = at::tensor({4.f, 3.f, 5.f, 5.f, 6.f, 7.f, 9.f, 13.f}).view({4, 2});
  const auto one = principal_components(rows, 1);
  ASSERT_EQ(one.sizes(), (std::vector<int64_t>{4, 1}));
  const double sign = one[3][0].item<double>() > 0 ? 1 : -1, root = std::sqrt(5.0);
  const double expected[] = {-2 * root, -root, 0, 3 * root};
  for (int64_t i = 0; i < 4; ++i) EXPECT_NEAR(one[i][0].item<double>() * sign, expected[i], 1e-5);  // f32
}

/// In double precision: at::cdist() is a difference of squares.
at::Tensor distances(const at::Tensor& rows) { return at::cdist(rows.to(at::kDouble), rows.to(at::kDouble)); }

TEST(PrincipalComponents, AllOfThemKeepDistances) {
  at::manual_seed(1);
  const auto rows = at::randn({30, 6});
  const auto turned = principal_components(rows, 100);
  ASSERT_EQ(turned.size(1), 6);
  EXPECT_LT((distances(rows) - distances(turned)).abs().max().item<double>(), 1e-4);
  const auto variance = turned.var(0);  // falls from one direction to the next
  for (int64_t i = 1; i < 6; ++i) EXPECT_GE(variance[i - 1].item<double>(), variance[i].item<double>());
  const auto covariance = turned.t().mm(turned);
  EXPECT_LT((covariance - covariance.diag().diag()).abs().max().item<double>(), 1e-3);
}

TEST(PrincipalComponents, NumbersThatAreNotFiniteAreRefused) {
  const auto rows = at::full({3, 2}, std::numeric_limits<float>::infinity());
  EXPECT_THAT(testing::config_error([&] { principal_components(rows, 2); }), ::testing::HasSubstr("not finite"));
}

}  // namespace
}  // namespace interplay::principal_components_test
