// Layers with bf16 factors beside the same arithmetic written in ATen: factors rounded to bf16, everything else f32.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <interplay/base/error.h>
#include <interplay/nn/bf16.h>
#include <interplay/nn/cross.h>
#include <interplay/nn/mlp.h>
#include <interplay/nn/precision.h>

#include "nn/kernels/amx.h"
#include "support/error_of.h"

namespace interplay::nn::bf16_test {
namespace {

at::Tensor rounded(const at::Tensor& t) { return t.to(at::kBFloat16).to(at::kFloat); }

/// Largest difference as a share of the largest value: rounding to bf16 is 2^-9 of a number, and sums of roundings grow
/// with the root of their length.
double distance(const at::Tensor& a, const at::Tensor& b) {
  return ((a - b).abs().max() / b.abs().max().clamp_min(1e-12)).item<double>();
}

TEST(Bf16, RoundsAsATenDoes) {
  auto x = at::cat({at::randn({1000}), at::randn({1000}) * 1e-30, at::randn({1000}) * 1e30,
                    at::tensor({0.f, -0.f, 1.f + 1.f / 256, 1.f + 3.f / 256, INFINITY, -INFINITY})});
  const auto expected = x.to(at::kBFloat16);
  for (int64_t i = 0; i < x.size(0); ++i) {
    const auto bits = simd::narrow(x[i].item<float>());
    EXPECT_EQ(bits, expected[i].item<at::BFloat16>().x) << x[i].item<float>();
    EXPECT_EQ(simd::widen(bits), expected[i].item<float>());
  }
  for (int64_t i = 0; i + 16 <= x.size(0); i += 16) {
    uint16_t bits[16];
    simd::store(bits, simd::load(x.const_data_ptr<float>() + i));
    for (int64_t k = 0; k < 16; ++k) EXPECT_EQ(bits[k], expected[i + k].item<at::BFloat16>().x);
  }
}

TEST(Bf16, AutoIsOneOfTheTwo) {
  EXPECT_EQ(parse_precision("auto"), bf16_is_native() ? Precision::bf16 : Precision::fp32);
  EXPECT_EQ(parse_precision("bf16"), Precision::bf16);
  EXPECT_EQ(testing::error_of(ErrorKind::config, [] { parse_precision("fp16"); }),
            "precision: 'fp16' is not known; expected auto, fp32 or bf16");
}

struct Case {
  int64_t batch, in;
  std::vector<int64_t> hidden;
  int64_t output;
};
void PrintTo(const Case& c, std::ostream* out) { *out << c.batch << "x" << c.in << "_" << c.hidden.size(); }

class Bf16Mlp : public ::testing::TestWithParam<Case> {};

TEST_P(Bf16Mlp, IsTheProductOfRoundedFactors) {
  const auto& c = GetParam();
  at::manual_seed(5);
  Mlp mlp(c.in, MlpOptions{.hidden = c.hidden, .output = c.output});
  for (auto& p : mlp->named_parameters()) {
    const at::NoGradGuard no_grad;
    if (p.key().ends_with("bias")) p.value().normal_();
  }
  auto x = at::randn({c.batch, c.in}).requires_grad_();
  const auto weight_of_loss = at::randn({c.batch, mlp->out()});
  at::Tensor got;
  {
    const PrecisionGuard guard(Precision::bf16);
    got = mlp(x);
    ASSERT_EQ(got.scalar_type(), at::kFloat);
    (got * weight_of_loss).sum().backward();
  }
  std::map<std::string, at::Tensor> gradients;
  for (auto& p : mlp->named_parameters())
    gradients[p.key()] = p.value().grad().clone(), p.value().mutable_grad().reset();
  const auto dx = x.grad().clone();
  x.mutable_grad().reset();

  auto h = x;
  for (size_t i = 0; i < c.hidden.size(); ++i) {
    const auto name = "linear" + std::to_string(i);
    const auto w = mlp->named_parameters()[name + ".weight"], b = mlp->named_parameters()[name + ".bias"];
    h = rounded(at::relu(at::linear(rounded(h), rounded(w), b)));
  }
  if (c.output > 0) h = at::linear(h, mlp->named_parameters()["output.weight"], mlp->named_parameters()["output.bias"]);
  EXPECT_LT(distance(got, h), 4e-3);
  (h * weight_of_loss).sum().backward();
  EXPECT_LT(distance(dx, x.grad()), 2e-2);
  for (auto& p : mlp->named_parameters()) EXPECT_LT(distance(gradients[p.key()], p.value().grad()), 2e-2) << p.key();

  const at::NoGradGuard no_grad;
  const PrecisionGuard guard(Precision::bf16);
  EXPECT_TRUE(at::equal(mlp(x), got)) << "without gradients";
}

INSTANTIATE_TEST_SUITE_P(Shapes, Bf16Mlp,
                         ::testing::Values(Case{1, 1, {1}, 1}, Case{1, 40, {16, 8}, 1}, Case{33, 17, {19, 35}, 1},
                                           Case{512, 64, {32, 32}, 1}, Case{513, 30, {48}, 0},
                                           Case{1500, 100, {64, 48, 32}, 3}));

TEST(Bf16, WeightsAreReadAnewOnceTheyHaveChanged) {
  Mlp mlp(4, MlpOptions{.hidden = {8}, .output = 0});
  const PrecisionGuard guard(Precision::bf16);
  const at::NoGradGuard no_grad;
  const auto x = at::ones({2, 4});
  const auto before = mlp(x);
  mlp->named_parameters()["linear0.weight"].fill_(1);
  EXPECT_FALSE(at::equal(mlp(x), before));
  EXPECT_TRUE(at::equal(mlp(x), at::full({2, 8}, 4.f)));
}

TEST(Bf16, AGradientThatOthersReadIsLeftAsItIs) {
  // The sum passes one gradient tensor to both of its sides; relu's mask must not reach the other.
  Mlp first(3, MlpOptions{.hidden = {5}, .output = 0}), second(3, MlpOptions{.hidden = {5}, .output = 0});
  {
    const at::NoGradGuard no_grad;
    first->named_parameters()["linear0.bias"].fill_(-100);  // all of its outputs are cut
  }
  const PrecisionGuard guard(Precision::bf16);
  (first(at::ones({2, 3})) + second(at::ones({2, 3}))).sum().backward();
  EXPECT_EQ(first->named_parameters()["linear0.bias"].grad().sum().item<float>(), 0);
  const auto active = (second->named_parameters()["linear0.bias"].grad() != 0).sum().item<int64_t>();
  const at::NoGradGuard no_grad;
  EXPECT_EQ(active, (second(at::ones({1, 3})) > 0).sum().item<int64_t>());
}

TEST(Bf16, NormAndOtherActivationsStayF32) {
  for (const auto& [norm, activation] :
       {std::pair("batch", "relu"), {"layer", "relu"}, {"none", "gelu"}, {"none", "dice"}, {"none", "prelu"}}) {
    SCOPED_TRACE(fmt::format("{} {}", norm, activation));
    at::manual_seed(2);
    Mlp mlp(6, MlpOptions{.hidden = {16, 8}, .norm = norm, .activation = activation});
    const auto x = at::randn({64, 6});
    const auto expected = mlp(x);
    const PrecisionGuard guard(Precision::bf16);
    EXPECT_LT(distance(mlp(x), expected), 3e-2);
  }
}

class Bf16Cross : public ::testing::TestWithParam<std::tuple<int64_t, int64_t, int64_t>> {};

TEST_P(Bf16Cross, IsTheProductOfRoundedFactors) {
  const auto [batch, width, layers] = GetParam();
  at::manual_seed(6);
  Cross cross(width, layers);
  {
    const at::NoGradGuard no_grad;
    cross->bias.normal_();
  }
  auto x0 = at::randn({batch, width}).requires_grad_();
  const auto weight_of_loss = at::randn({batch, width});
  at::Tensor got;
  {
    const PrecisionGuard guard(Precision::bf16);
    got = cross(x0);
    (got * weight_of_loss).sum().backward();
  }
  const auto dx = x0.grad().clone(), dw = cross->weight.grad().clone(), db = cross->bias.grad().clone();
  for (auto* t : {&x0, &cross->weight, &cross->bias}) t->mutable_grad().reset();

  const auto expected = cross(x0);
  (expected * weight_of_loss).sum().backward();
  EXPECT_LT(distance(got, expected), 2e-2);
  EXPECT_LT(distance(dx, x0.grad()), 3e-2);
  EXPECT_LT(distance(dw, cross->weight.grad()), 3e-2);
  EXPECT_LT(distance(db, cross->bias.grad()), 3e-2);
}

INSTANTIATE_TEST_SUITE_P(Shapes, Bf16Cross,
                         ::testing::Values(std::tuple(1, 1, 1), std::tuple(3, 17, 2), std::tuple(700, 64, 3)));

class AmxProduct : public ::testing::TestWithParam<std::tuple<int64_t, int64_t, int64_t>> {};

TEST_P(AmxProduct, IsTheOneOfRoundedFactors) {
  if (!amx::is_present()) GTEST_SKIP() << "this processor has no tiles";
  const auto [rows, out, in] = GetParam();
  at::manual_seed(7);
  const auto g = at::randn({rows, out}).to(at::kBFloat16), x = at::randn({rows, in}).to(at::kBFloat16);
  using amx::WeightGradient;
  auto sum = at::zeros({WeightGradient::rounded(out), WeightGradient::rounded(in)});
  auto scratch = at::empty({WeightGradient::scratch_size(out, in)}, at::kBFloat16);
  WeightGradient gradient(out, in, sum.mutable_data_ptr<float>(),
                          reinterpret_cast<uint16_t*>(scratch.mutable_data_ptr<at::BFloat16>()));
  const auto bits = [](const at::Tensor& t, int64_t row) {
    return reinterpret_cast<const uint16_t*>(t.const_data_ptr<at::BFloat16>()) + row * t.size(1);
  };
  for (int64_t r = 0; r < rows; r += WeightGradient::kBlockRows)
    gradient.add(bits(g, r), bits(x, r), std::min(WeightGradient::kBlockRows, rows - r));
  const auto expected = at::mm(g.to(at::kDouble).t(), x.to(at::kDouble)).to(at::kFloat);
  EXPECT_LT(distance(sum.narrow(0, 0, out).narrow(1, 0, in), expected), 1e-5);
  sum.narrow(0, 0, out).narrow(1, 0, in).zero_();
  EXPECT_EQ(sum.abs().sum().item<float>(), 0) << "outside of the matrix";
}

INSTANTIATE_TEST_SUITE_P(Shapes, AmxProduct,
                         ::testing::Values(std::tuple(1, 1, 1), std::tuple(32, 16, 16), std::tuple(77, 19, 35),
                                           std::tuple(511, 48, 33), std::tuple(1300, 80, 112)));

}  // namespace
}  // namespace interplay::nn::bf16_test
