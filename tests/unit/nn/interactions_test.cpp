// Products of sets of fields and their gated sums, beside the same computed by plain operations.
#include <interplay/nn/interactions.h>

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Parallel.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/error_of.h"

namespace interplay::nn::interactions_test {
namespace {

using ::testing::HasSubstr;

struct Shape {
  int64_t batch, fields, width, order;
  const char* vectors = "random";  // random | equal | padding: all rows alike; every second field zero
};
void PrintTo(const Shape& s, std::ostream* out) {
  *out << s.batch << "x" << s.fields << "x" << s.width << " order " << s.order << " " << s.vectors;
}

at::Tensor twin_of_products(const at::Tensor& e, const at::Tensor& sets) {  // -> [B, P]
  auto product = at::ones({e.size(0), sets.size(0), e.size(2)}, e.options());
  for (int64_t m = 0; m < sets.size(1); ++m) product = product * e.index_select(1, sets.select(1, m));
  return product.sum(2);
}

struct Result {
  at::Tensor out, d_e, d_gates, running_mean, running_var;
};

class Interactions : public ::testing::TestWithParam<Shape> {
 protected:
  Interactions() {
    at::manual_seed(5);
    const Shape& s = GetParam();
    const std::string vectors = s.vectors;
    e_ = at::randn({vectors == "equal" ? 1 : s.batch, s.fields, s.width}) + 0.3;
    if (vectors == "equal") e_ = e_.expand({s.batch, s.fields, s.width}).contiguous();
    if (vectors == "padding") e_.slice(1, 0, s.fields, 2).zero_();
    sets_ = all_sets(s.fields, s.order);
    gates_ = at::randn({sets_.size(0)});
    gates_.slice(0, 0, gates_.size(0), 3).zero_();  // every third gate is closed
  }

  /// One forward and backward pass by the layer, or by plain operations in double precision.
  Result run(bool fused, bool with_norm, bool from_batch, bool summed = true) const {
    Result r;
    const auto kind = fused ? at::kFloat : at::kDouble;
    const auto e = e_.to(kind, false, /*copy=*/true).requires_grad_();
    const auto gates = gates_.to(kind, false, true).requires_grad_();
    ProductNorm norm{{}, {}, from_batch};
    if (with_norm) {
      norm.mean = at::full({sets_.size(0)}, 0.25, kind);
      norm.variance = at::full({sets_.size(0)}, 2.5, kind);
    }
    if (fused) {
      const FieldVectors fields(e);
      r.out = summed ? gated_sum(fields, sets_, gates, norm) : gated_products(fields, sets_, gates, norm);
    } else {
      auto z = twin_of_products(e, sets_);
      if (with_norm)
        z = at::batch_norm(z, {}, {}, norm.mean, norm.variance, from_batch, norm.momentum, norm.eps, false);
      r.out = summed ? (z * gates).sum(1) : z * gates;
    }
    const auto d = at::randn(r.out.sizes(), at::make_generator<at::CPUGeneratorImpl>(8), at::kFloat);
    (r.out * d.to(kind)).sum().backward();
    r.d_e = e.grad();
    r.d_gates = gates.grad();
    r.running_mean = norm.mean;
    r.running_var = norm.variance;
    return r;
  }

  /// Within a few roundings of the largest number.
  static void expect_near(const at::Tensor& found, const at::Tensor& exact, const char* what) {
    const auto expected = exact.to(at::kFloat);
    ASSERT_EQ(found.sizes(), expected.sizes()) << what;
    if (expected.numel() == 0) return;
    const double scale = 1 + expected.abs().max().item<double>();
    EXPECT_LT((found - expected).abs().max().item<double>(), 3e-5 * scale) << what;
  }

  at::Tensor e_, sets_, gates_;
};

TEST_P(Interactions, ProductsEqualTheirTwin) {
  const auto e = e_.clone().requires_grad_(), other = e_.clone().requires_grad_();
  const auto fused = set_products(FieldVectors(e), sets_), twin = twin_of_products(other, sets_);
  expect_near(fused, twin, "products");
  const auto d = at::randn(twin.sizes());
  (fused * d).sum().backward();
  (twin * d).sum().backward();
  expect_near(e.grad(), other.grad(), "gradient");
}

TEST_P(Interactions, GatedEqualTheirTwinByStatisticsOfTheBatch) {
  if (GetParam().batch == 1) return;  // no variance
  for (const bool summed : {true, false}) {
    const auto fused = run(true, true, true, summed), twin = run(false, true, true, summed);
    expect_near(fused.out, twin.out, "out");
    expect_near(fused.d_e, twin.d_e, "gradient of vectors");
    expect_near(fused.d_gates, twin.d_gates, "gradient of gates");
    expect_near(fused.running_mean, twin.running_mean, "running mean");
    expect_near(fused.running_var, twin.running_var, "running variance");
  }
}

TEST_P(Interactions, GatedEqualTheirTwinByRunningStatistics) {
  for (const bool summed : {true, false}) {
    const auto fused = run(true, true, false, summed), twin = run(false, true, false, summed);
    expect_near(fused.out, twin.out, "out");
    expect_near(fused.d_e, twin.d_e, "gradient of vectors");
    expect_near(fused.d_gates, twin.d_gates, "gradient of gates");
    EXPECT_TRUE(at::equal(fused.running_mean, at::full({sets_.size(0)}, 0.25)));
    const at::NoGradGuard no_grad;
    const ProductNorm norm{at::full({sets_.size(0)}, 0.25), at::full({sets_.size(0)}, 2.5)};
    const FieldVectors fields(e_);
    EXPECT_TRUE(at::equal(summed ? gated_sum(fields, sets_, gates_, norm) : gated_products(fields, sets_, gates_, norm),
                          fused.out));
  }
}

TEST_P(Interactions, GatedEqualTheirTwinWithoutNorm) {
  for (const bool summed : {true, false}) {
    const auto fused = run(true, false, true, summed), twin = run(false, false, true, summed);
    expect_near(fused.out, twin.out, "out");
    expect_near(fused.d_e, twin.d_e, "gradient of vectors");
    expect_near(fused.d_gates, twin.d_gates, "gradient of gates");
  }
}

TEST_P(Interactions, ThreadsChangeNothing) {
  if (GetParam().batch == 1) return;
  const int before = at::get_num_threads();
  std::vector<at::Tensor> results;
  for (const int threads : {1, 2, 3}) {
    at::set_num_threads(threads);
    const auto r = run(true, true, true), apart = run(true, true, true, false);
    results.push_back(at::cat({apart.out.flatten(), apart.d_e.flatten(), apart.d_gates, r.out.flatten(),
                               r.d_e.flatten(), r.d_gates, r.running_mean, r.running_var}));
  }
  at::set_num_threads(before);
  EXPECT_TRUE(at::equal(results[0], results[1]));
  EXPECT_TRUE(at::equal(results[0], results[2]));
}

INSTANTIATE_TEST_SUITE_P(Shapes, Interactions,
                         ::testing::Values(Shape{1, 2, 1, 2}, Shape{1, 4, 16, 3}, Shape{2, 2, 16, 2},
                                           Shape{16, 3, 8, 2}, Shape{33, 5, 17, 2}, Shape{300, 26, 16, 2},
                                           Shape{130, 3, 4, 3}, Shape{129, 9, 16, 3}, Shape{50, 13, 5, 3},
                                           Shape{40, 4, 3, 4}, Shape{140, 8, 16, 4}, Shape{7, 1, 16, 2},
                                           Shape{150, 4, 16, 2, "equal"}, Shape{20, 5, 6, 3, "equal"},
                                           Shape{64, 6, 16, 2, "padding"}, Shape{70, 6, 9, 3, "padding"}),
                         [](const auto& info) {
                           const Shape& s = info.param;
                           return fmt::format("B{}F{}K{}order{}{}", s.batch, s.fields, s.width, s.order, s.vectors);
                         });

TEST(AllSets, AreInLexicographicOrder) {
  EXPECT_TRUE(at::equal(all_sets(3, 2), at::tensor({0, 1, 0, 2, 1, 2}, at::kLong).view({3, 2})));
  EXPECT_TRUE(at::equal(all_sets(4, 3), at::tensor({0, 1, 2, 0, 1, 3, 0, 2, 3, 1, 2, 3}, at::kLong).view({4, 3})));
  EXPECT_EQ(all_sets(39, 3).size(0), 9139);
  EXPECT_EQ(all_sets(2, 3).sizes(), at::IntArrayRef({0, 3}));
}

TEST(SetProducts, TakeSetsInAnyOrder) {
  at::manual_seed(1);
  const auto e = at::randn({21, 5, 7});
  // unordered, repeated, and a field with itself
  const auto sets = at::tensor({4, 1, 3, 0, 1, 2, 0, 1, 2, 2, 2, 2, 3, 1, 3}, at::kLong).view({5, 3});
  const auto a = e.clone().requires_grad_(), b = e.clone().requires_grad_();
  const auto fused = set_products(FieldVectors(a), sets), twin = twin_of_products(b, sets);
  EXPECT_TRUE(at::allclose(fused, twin, 1e-4, 1e-5));
  fused.square().sum().backward();
  twin.square().sum().backward();
  EXPECT_TRUE(at::allclose(a.grad(), b.grad(), 1e-3, 1e-3));
}

TEST(SetProducts, RefuseWhatIsNoList) {
  const FieldVectors e(at::ones({2, 3, 4}));
  const auto error = [&](const at::Tensor& sets) { return testing::config_error([&] { set_products(e, sets); }); };
  EXPECT_THAT(error(at::zeros({2, 2}, at::kInt)), HasSubstr("i64"));
  EXPECT_THAT(error(at::zeros({2, 5}, at::kLong)), HasSubstr("[2, 5]"));
  EXPECT_THAT(error(at::tensor({0, 3}, at::kLong).view({1, 2})), HasSubstr("field 3"));
  EXPECT_THAT(error(at::tensor({-1, 2}, at::kLong).view({1, 2})), HasSubstr("field -1"));
}

// A product whose mean is a thousand times its deviation: sums of squares alone would lose the variance.
TEST(GatedSum, KeepsSmallDeviationsOfLargeProducts) {
  at::manual_seed(2);
  const auto e = at::stack({at::full({400, 1}, 100.f), 10 + 0.01 * at::randn({400, 1})}, 1);  // z about 1000 +- 1
  ProductNorm norm{at::zeros({1}), at::ones({1}), true, 1e-3, 1};
  gated_sum(FieldVectors(e), all_sets(2, 2), at::ones({1}), norm);
  const auto z = e.to(at::kDouble).prod(1).squeeze(1);  // [B]
  EXPECT_NEAR(norm.variance.item<double>(), z.var().item<double>(), 1e-3 * z.var().item<double>());
  EXPECT_NEAR(norm.mean.item<double>(), z.mean().item<double>(), 1e-4);
}

TEST(GatedProducts, OneRowIsNormalisedByTheRunningStatistics) {
  GatedProducts layer(all_sets(2, 2), GateOptions{.norm_eps = 0, .start = 2, .spread = 0});
  layer->running_mean.fill_(3);
  layer->running_var.fill_(4);
  const auto e = at::tensor({1.f, 2.f, 3.f, 4.f}).view({1, 2, 2});  // z = 11
  EXPECT_EQ(layer->sum(FieldVectors(e)).item<float>(), 2 * (11 - 3) / 2.f);
  EXPECT_EQ(layer->running_mean.item<float>(), 3);
}

TEST(GatedProducts, GatesStartWithinTheirIntervalAndDiffer) {
  at::manual_seed(3);
  GatedProducts layer(all_sets(20, 2));
  const auto gate = layer->gate.detach();
  EXPECT_GE(gate.min().item<float>(), 0.599f);
  EXPECT_LE(gate.max().item<float>(), 0.601f);
  EXPECT_GT(gate.std().item<float>(), 0.0003f);  // uniform: 0.002 / sqrt(12)
  EXPECT_EQ(layer->parameter_group(), "gates");
}

}  // namespace
}  // namespace interplay::nn::interactions_test
