#include <interplay/nn/interaction_functions.h>

#include <cmath>

#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/error_of.h"

namespace interplay::nn::interaction_functions_test {
namespace {

using testing::config_error;
using ::testing::HasSubstr;

/// A row with vectors (1, 2), (3, -1), (2, 5), and one of twice those.
FieldVectors vectors() {
  const auto one = at::tensor({1.f, 2.f, 3.f, -1.f, 2.f, 5.f}).view({1, 3, 2});
  return FieldVectors(at::cat({one, 2 * one}));
}

at::Tensor pairs() { return all_sets(3, 2); }
at::Tensor triple() { return all_sets(3, 3); }

/// What `function` gives for the first row; the second one's is 2^o times that.
at::Tensor first_row(InteractionFunction& function) {
  const auto z = function(vectors());
  const double factor = std::pow(2, function->sets().size(1));
  EXPECT_TRUE(at::allclose(z[1], factor * z[0])) << z;
  EXPECT_TRUE(at::allclose(function->parts(vectors()).sum(2), z)) << z;
  return z[0].detach();
}

InteractionFunction with_kernel(const std::string& name, const at::Tensor& sets, const at::Tensor& kernel) {
  const at::NoGradGuard no_grad;
  InteractionFunction function(name, sets, 2);
  EXPECT_EQ(function->kernel.sizes(), kernel.sizes());
  function->kernel.copy_(kernel);
  return function;
}

TEST(InteractionFunction, InnerSumsTheProducts) {
  InteractionFunction on_pairs("inner", pairs(), 2), on_triples("inner", triple(), 2);
  EXPECT_TRUE(at::equal(first_row(on_pairs), at::tensor({3.f - 2, 2.f + 10, 6.f - 5})));
  EXPECT_TRUE(at::equal(first_row(on_triples), at::tensor({6.f - 10})));
}

TEST(InteractionFunction, AVectorKernelWeighsTheProducts) {
  auto function = with_kernel("vector_kernel", pairs(), at::tensor({2.f, 3.f, 1.f, -1.f, 0.f, 2.f}).view({3, 2}));
  EXPECT_TRUE(at::equal(first_row(function), at::tensor({6.f - 6, 2.f - 10, -10.f})));
}

TEST(InteractionFunction, AVectorKernelHasTheGradientsOfItsTwin) {
  struct Shape {
    int64_t batch, fields, width, order;
  };
  for (const auto& s : {Shape{1, 2, 1, 2}, Shape{5, 4, 3, 3}, Shape{700, 9, 17, 2}, Shape{64, 6, 16, 4}}) {
    at::manual_seed(uint64_t(s.batch));
    const auto sets = all_sets(s.fields, s.order);
    InteractionFunction function("vector_kernel", sets, s.width);
    const auto e = at::randn({s.batch, s.fields, s.width}).requires_grad_();
    const auto dz = at::randn({s.batch, sets.size(0)});
    const auto gradients_of = [&](const at::Tensor& z) {
      return torch::autograd::grad({z}, {e, function->kernel}, {dz});
    };
    const auto own = function(FieldVectors(e)), twin = function->parts(FieldVectors(e)).sum(2);
    EXPECT_TRUE(at::allclose(own, twin, 1e-4, 1e-4));
    const auto found = gradients_of(own), expected = gradients_of(twin);
    for (size_t i = 0; i < 2; ++i) EXPECT_TRUE(at::allclose(found[i], expected[i], 1e-4, 1e-3)) << s.batch << " " << i;
  }
}

TEST(InteractionFunction, ANumberKernelWeighsTheirSum) {
  auto function = with_kernel("number_kernel", pairs(), at::tensor({2.f, 0.5f, -1.f}));
  EXPECT_TRUE(at::equal(first_row(function), at::tensor({2.f, 6.f, -1.f})));
}

TEST(InteractionFunction, OuterMultipliesProjectionsByPlace) {
  // projections of the three fields in the first place: 3 2 7, in the second: 0 7 -1, in the third: 2 -1 5
  const auto kernel = at::tensor({1.f, 1.f, 2.f, -1.f, 0.f, 1.f}).view({3, 2});
  auto on_pairs = with_kernel("outer", pairs(), kernel.narrow(0, 0, 2));
  EXPECT_TRUE(at::equal(first_row(on_pairs), at::tensor({3.f * 7, 3.f * -1, 2.f * -1})));
  auto on_triples = with_kernel("outer", triple(), kernel);
  EXPECT_TRUE(at::equal(first_row(on_triples), at::tensor({3.f * 7 * 5})));
}

TEST(InteractionFunction, KernelsStartNearTheInnerProduct) {
  for (const char* name : {"vector_kernel", "number_kernel"}) {
    InteractionFunction as_inner(name, pairs(), 2), small(name, pairs(), 2, KernelOptions{.start = 0});
    EXPECT_NEAR(as_inner->kernel.mean().item<double>(), 1, 0.01) << name;
    EXPECT_NEAR(small->kernel.mean().item<double>(), 0, 0.01) << name;
  }
}

TEST(InteractionFunction, OfUnitScaleHasVarianceOneWhateverItsKernel) {
  at::manual_seed(4);
  const int64_t width = 9, rows = 40000;
  const FieldVectors e(at::randn({rows, 3, width}));
  for (const auto& name : interaction_functions()) {
    for (const int64_t order : {2, 3}) {
      InteractionFunction function(name, all_sets(3, order), width, KernelOptions{.unit = true});
      const at::NoGradGuard no_grad;
      for (const double factor : {1., -7.}) {  // a kernel that grows says no more
        if (function->kernel.defined()) function->kernel.normal_(3, 1).mul_(factor);
        const auto z = function(e);
        // the variance of the variance of products of o normal numbers is about 3^o / rows
        EXPECT_TRUE(at::allclose(z.var(0), at::ones({z.size(1)}), 0, 5 * std::pow(3, order / 2.) / std::sqrt(rows)))
            << name << " " << order << " " << z.var(0);
        EXPECT_TRUE(at::allclose(function->parts(e).sum(2), z, 1e-4, 1e-4)) << name;
      }
    }
  }
  InteractionFunction inner("inner", pairs(), 2, KernelOptions{.unit = true});
  EXPECT_TRUE(at::allclose(inner(vectors())[0], at::tensor({1.f, 12.f, 1.f}) / std::sqrt(2.)));
}

TEST(InteractionFunction, NamesThoseThereAre) {
  EXPECT_THAT(config_error([] { InteractionFunction("outher", pairs(), 2); }),
              HasSubstr("there is no interaction function 'outher' (functions: inner, vector_kernel"));
}

GateOptions exact(double gate) {
  GateOptions options;
  options.start = gate, options.spread = 0, options.norm_eps = 0.25, options.norm_momentum = 0.5;
  return options;
}

TEST(Gates, ScaleWhatTheBatchNormalises) {
  Gates gates(2, exact(0.5));
  EXPECT_EQ(gates->parameter_group(), "gates");
  const auto z = at::tensor({1.f, 10.f, 3.f, 10.f}).view({2, 2});  // means 2 and 10, variances 1 and 0
  const double unit = 1 / std::sqrt(1.25);
  EXPECT_TRUE(at::allclose(gates(z), at::tensor({-0.5 * unit, 0., 0.5 * unit, 0.}).to(at::kFloat).view({2, 2})));
  EXPECT_TRUE(at::allclose(gates->running_mean, at::tensor({1.f, 5.f})));  // from 0, half way
  EXPECT_TRUE(at::allclose(gates->sum(z), at::tensor({-0.5 * unit, 0.5 * unit}).to(at::kFloat)));
}

TEST(Gates, UseTheRunningStatisticsOfEvaluation) {
  Gates gates(1, exact(2));
  gates->eval();
  gates->running_mean.fill_(1);
  gates->running_var.fill_(3.75);  // and 0.25 more
  EXPECT_TRUE(at::allclose(gates(at::tensor({5.f}).view({1, 1})), at::tensor({4.f}).view({1, 1})));
}

TEST(Gates, SumInnerProductsAsTheyWouldSumGivenOnes) {
  at::manual_seed(3);
  const FieldVectors e(at::randn({7, 4, 5}));
  Gates one(6, GateOptions{}), other(6, GateOptions{});
  {
    const at::NoGradGuard no_grad;
    other->gate.copy_(one->gate);
  }
  EXPECT_TRUE(at::allclose(one->sum(e, all_sets(4, 2)), other->sum(set_products(e, all_sets(4, 2))), 1e-4, 1e-5));
  EXPECT_TRUE(at::allclose(one->running_var, other->running_var));
}

}  // namespace
}  // namespace interplay::nn::interaction_functions_test
