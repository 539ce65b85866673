#include <interplay/nn/rounded_linear.h>

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/autograd.h>

#include <interplay/nn/precision.h>

#include "support/stored.h"

namespace interplay::nn::rounded_linear_test {
namespace {

TEST(RoundedLinear, IsTheProductInFp32AndNearItInBf16) {
  at::manual_seed(1);
  torch::nn::Linear layer(40, 30);
  const auto x = at::randn({3, 5, 40}).requires_grad_();
  const auto expected = layer(x);
  EXPECT_TRUE(at::equal(rounded_linear(x, layer), expected));
  const PrecisionGuard guard(Precision::bf16);
  const auto rounded = rounded_linear(x, layer);
  EXPECT_EQ(rounded.scalar_type(), at::kFloat);
  EXPECT_FALSE(at::equal(rounded, expected));
  testing::expect_near(rounded, expected, 2e-2, "product");
  const auto seed = at::randn(expected.sizes());
  const auto of = [&](const at::Tensor& y) {
    return torch::autograd::grad({y}, {x, layer->weight, layer->bias}, {seed}, true);
  };
  const auto exact = of(expected), near = of(rounded);
  for (size_t i = 0; i < exact.size(); ++i) testing::expect_near(near[i], exact[i], 2e-2, std::to_string(i));
}

}  // namespace
}  // namespace interplay::nn::rounded_linear_test
