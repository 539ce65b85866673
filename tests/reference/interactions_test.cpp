// Interactions behind gates beside PyTorch's. The stored values and the script that made them:
// tests/reference/interactions.py.
#include <string>

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <interplay/nn/interactions.h>

#include "support/stored.h"

namespace interplay::interactions_test {
namespace {

using testing::expect_near;
using ::testing::IsEmpty;
using testing::Stored;

// fp64 rounded to fp32 against fp32 throughout: sums over 12 rows and up to 20 sets, divided by a deviation.
constexpr double kTolerance = 5e-6;

class StoredInteractions : public ::testing::TestWithParam<int> {
 protected:
  StoredInteractions()
      : stored_("interactions.safetensors", fmt::format("order{}", GetParam())),
        sets_(stored_.at("sets").to(at::kLong)) {}

  /// A layer with the stored gates.
  nn::GatedProducts layer(bool norm = true) {
    nn::GatedProducts out(sets_, nn::GateOptions{.norm = norm});
    const at::NoGradGuard no_grad;
    out->gate.copy_(stored_.at("weight.gate"));
    return out;
  }
  at::Tensor leaf() { return stored_.at("x").clone().set_requires_grad(true); }

  Stored stored_;
  at::Tensor sets_;  // i64 [P, o]
};

TEST_P(StoredInteractions, EqualOursInResultsGradientsAndState) {
  EXPECT_TRUE(at::equal(nn::all_sets(6, GetParam()), sets_));
  expect_near(nn::set_products(nn::FieldVectors(stored_.at("x")), sets_), stored_.at("products"), kTolerance,
              "products");
  auto summed = layer(), apart = layer(), plain = layer(false);
  const auto out_grad = stored_.at("out_grad");
  const auto run = [&](const at::Tensor& out, const std::string& name, const at::Tensor& x, const std::string& d_x) {
    expect_near(out, stored_.at(name), kTolerance, name);
    (out * out_grad).sum().backward();
    expect_near(x.grad(), stored_.at(d_x), kTolerance, d_x);
  };
  auto x = leaf();
  run(summed->sum(nn::FieldVectors(x)), "out", x, "d_x");
  expect_near(summed->gate.grad(), stored_.at("gradient.gate"), kTolerance, "gradient.gate");
  expect_near(summed->running_mean, stored_.at("state.running_mean"), kTolerance, "running mean");
  expect_near(summed->running_var, stored_.at("state.running_var"), kTolerance, "running variance");
  x = leaf();
  const auto each = apart(nn::FieldVectors(x));
  expect_near(each, stored_.at("each"), kTolerance, "each");
  run(each.sum(1), "out", x, "d_x");
  expect_near(apart->gate.grad(), stored_.at("gradient.gate"), kTolerance, "gradient.gate, each");
  expect_near(apart->running_var, stored_.at("state.running_var"), kTolerance, "running variance, each");
  summed->eval();
  summed->zero_grad();
  x = leaf();
  run(summed->sum(nn::FieldVectors(x)), "eval", x, "d_x_eval");
  expect_near(summed->gate.grad(), stored_.at("gradient_eval.gate"), kTolerance, "gradient_eval.gate");
  x = leaf();
  run(plain->sum(nn::FieldVectors(x)), "plain", x, "d_x_plain");
  EXPECT_THAT(stored_.unread(), IsEmpty());
}

INSTANTIATE_TEST_SUITE_P(Orders, StoredInteractions, ::testing::Values(2, 3, 4),
                         [](const auto& info) { return fmt::format("order{}", info.param); });

}  // namespace
}  // namespace interplay::interactions_test
