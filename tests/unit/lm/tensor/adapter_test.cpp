#include <interplay/lm/adapter.h>

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/error_of.h"
#include "support/stored.h"
#include "support/temp_dir.h"

namespace interplay::lm::adapter_test {
namespace {

using interplay::testing::config_error;
using interplay::testing::data_error;
using interplay::testing::expect_near;
using interplay::testing::TempDir;
using ::testing::HasSubstr;

at::Tensor noise(at::IntArrayRef shape, uint64_t seed) {
  return at::randn(shape, at::make_generator<at::CPUGeneratorImpl>(seed), at::TensorOptions().dtype(at::kFloat));
}

/// Two projections of 5 and 4 numbers that read 6, the second with E experts of rank 3.
struct Two {
  AdapterLinear linear{noise({9, 6}, 1), std::vector<AdapterLinearImpl::Output>{{"layers.0.k", 5}, {"layers.0.v", 4}}};
  AdapterOptions options{.rank = 3, .alpha = 6};
  explicit Two(int64_t experts = 1) {
    options.experts = experts;
    linear->adapt("layers.0.v", options, 7);
    linear->eval();
  }
  at::Tensor a() { return linear->adapters()[0].a; }
  at::Tensor b() { return linear->adapters()[0].b; }
  void draw_b() {
    const at::NoGradGuard off;
    b().copy_(noise(b().sizes(), 8));
  }
};

TEST(AdapterLinear, AddsNothingWhileBIsZero) {
  Two two;
  const auto x = noise({7, 6}, 2);
  EXPECT_TRUE(at::equal(two.linear(x), at::linear(x, noise({9, 6}, 1))));
  EXPECT_EQ(two.b().abs().max().item<float>(), 0);
}

// sqrt(6 / ((1 + 5) in)) bounds the draw of A.
TEST(AdapterLinear, DrawsAUniformlyBetweenItsBounds) {
  AdapterLinear linear(at::zeros({4, 400}), std::vector<AdapterLinearImpl::Output>{{"v", 4}});
  linear->adapt("v", {.rank = 50}, 3);
  const auto a = linear->adapters()[0].a.detach();
  const double bound = 1 / std::sqrt(400.0);
  EXPECT_LE(a.abs().max().item<double>(), bound);
  EXPECT_GT(a.abs().max().item<double>(), 0.99 * bound);
  EXPECT_NEAR(a.var().item<double>(), bound * bound / 3, 0.02 * bound * bound);
}

TEST(AdapterLinear, IsTheFormulaWithCoreAndExperts) {
  Two two(2);
  two.draw_b();
  const auto x = noise({5, 6}, 3);
  AdapterCall call;
  call.mixes["layers.0.v"] = {noise({2, 3, 3}, 4), noise({2, 2}, 5)};
  const auto sample = at::tensor({0, 0, 1, 1, 1}, at::kLong);
  const auto found = two.linear(x, &call, sample);
  auto expected = at::linear(x, noise({9, 6}, 1));
  for (int64_t n = 0; n < 5; ++n) {
    const int64_t s = sample[n].item<int64_t>();
    for (int64_t e = 0; e < 2; ++e) {
      const auto inner = at::matmul(two.a().narrow(0, 3 * e, 3), x[n]);                      // A x
      const auto cored = at::matmul(call.mixes["layers.0.v"].core[s].t(), inner);            // G^T A x
      const auto out = at::matmul(two.b().narrow(1, 3 * e, 3), cored);                       // B G^T A x
      expected[n].narrow(0, 5, 4).add_(out * call.mixes["layers.0.v"].experts[s][e] * 2.0);  // alpha / r = 2
    }
  }
  expect_near(found, expected.detach(), 1e-6, "y");
}

TEST(AdapterLinear, IdentityCoreAndEqualExpertsAreTheOrdinaryCase) {
  Two two(2);
  two.draw_b();
  const auto x = noise({5, 6}, 3);
  AdapterCall call;
  call.mixes["layers.0.v"] = {at::eye(3).unsqueeze(0), at::full({1, 2}, 0.5)};
  expect_near(two.linear(x, &call, at::zeros({5}, at::kLong)), two.linear(x).detach(), 1e-6, "y");
}

/// (L(t + step) - L(t - step)) / (2 step), number by number.
at::Tensor differences(const at::Tensor& t, double step, const std::function<double()>& loss) {
  const at::NoGradGuard off;
  auto out = at::empty(t.sizes(), at::kDouble);
  auto flat = t.view({-1});
  for (int64_t i = 0; i < t.numel(); ++i) {
    const auto before = flat[i].clone();
    flat[i] = before + step;
    const double high = loss();
    flat[i] = before - step;
    const double low = loss();
    flat[i] = before;
    out.view({-1})[i] = (high - low) / (2 * step);
  }
  return out;
}

// The output is linear in each of x, A, B, G and w, so that central differences are exact but for rounding: f32 sums of
// about 10 to 6 digits over a step of 2 * 0.25.
TEST(AdapterLinear, GradientsAreFiniteDifferences) {
  Two two(2);
  two.draw_b();
  auto x = noise({4, 6}, 3).set_requires_grad(true), core = noise({2, 3, 3}, 4).set_requires_grad(true),
       experts = noise({2, 2}, 5).set_requires_grad(true);
  const auto sample = at::tensor({0, 1, 1, 0}, at::kLong), flow = noise({4, 9}, 6);
  const auto loss = [&] {
    AdapterCall call;
    call.mixes["layers.0.v"] = {core, experts};
    return (two.linear(x, &call, sample).to(at::kDouble) * flow).sum();
  };
  loss().backward();
  for (const auto& [name, t] : std::map<std::string, at::Tensor>{
           {"x", x}, {"A", two.a()}, {"B", two.b()}, {"core", core}, {"experts", experts}}) {
    expect_near(t.grad(), differences(t, 0.25, [&] { return loss().item<double>(); }), 1e-4, name);
  }
  EXPECT_FALSE(two.linear->weight().requires_grad());
}

TEST(AdapterLinear, MergedIsUnmerged) {
  for (const int64_t experts : {1, 3}) {
    Two two(experts);
    two.draw_b();
    const auto x = noise({7, 6}, 2);
    const auto before = two.linear(x).detach();
    two.linear->merge();
    EXPECT_TRUE(two.linear->parameters().empty());
    expect_near(two.linear(x), before, 1e-6, "y");
  }
}

TEST(AdapterLinear, DropsInputsOfTheAdapterOnlyAndOnlyInTraining) {
  AdapterLinear linear(at::zeros({1, 1000}), std::vector<AdapterLinearImpl::Output>{{"v", 1}});
  linear->adapt("v", {.rank = 1, .alpha = 1, .dropout = 0.75}, 3);
  const at::NoGradGuard off;
  linear->adapters()[0].a.fill_(1), linear->adapters()[0].b.fill_(1);
  linear->eval();
  EXPECT_FLOAT_EQ(linear(at::ones({1, 1000})).item<float>(), 1000);
  linear->train();
  const double kept = linear(at::ones({1, 1000})).item<double>() / 4;  // each counts 1 / (1 - 0.75)
  EXPECT_NEAR(kept, 250, 70);                                          // five standard deviations of B(1000, 1/4)
  EXPECT_NEAR(kept, std::round(kept), 1e-3);
}

TEST(AdapterLinear, NamesWhatIsWrong) {
  Two two(2);
  EXPECT_THAT(config_error([&] { two.linear->adapt("layers.0.q", {}, 1); }), HasSubstr("no projection 'layers.0.q'"));
  EXPECT_THAT(config_error([&] { two.linear->adapt("layers.0.v", {}, 1); }), HasSubstr("has an adapter already"));
  AdapterCall call;
  call.mixes["layers.0.v"].core = at::eye(4).unsqueeze(0);
  const auto rows = at::zeros({1}, at::kLong);
  EXPECT_THAT(config_error([&] { two.linear(at::ones({1, 6}), &call, rows); }), HasSubstr("expected [samples, 3, 3]"));
  call.mixes["layers.0.v"] = {{}, at::ones({1, 5})};
  EXPECT_THAT(config_error([&] { two.linear(at::ones({1, 6}), &call, rows); }), HasSubstr("expected [samples, 2]"));
}

TEST(AdapterFile, ComesBackAsItWas) {
  const TempDir dir;
  AdapterFile file{{.rank = 3, .alpha = 0.1, .dropout = 0.05, .experts = 2, .targets = {"q_proj", "o_proj"}}, "0f", {}};
  file.weights[AdapterFile::name_a("layers.0.self_attn.q_proj")] = noise({6, 4}, 1);
  file.save(dir / "a.safetensors");
  const auto back = AdapterFile::load(dir / "a.safetensors");
  EXPECT_EQ(back.base, "0f");
  EXPECT_EQ(back.options.rank, 3);
  EXPECT_EQ(back.options.alpha, 0.1);
  EXPECT_EQ(back.options.dropout, 0.05);
  EXPECT_EQ(back.options.experts, 2);
  EXPECT_EQ(back.options.targets, file.options.targets);
  ASSERT_EQ(back.weights.size(), 1u);
  EXPECT_TRUE(at::equal(back.weights.begin()->second, noise({6, 4}, 1)));
  EXPECT_EQ(back.weights.begin()->first, "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight");
}

TEST(AdapterFile, AlteredBytesAndForeignFilesAreRefused) {
  const TempDir dir;
  AdapterFile file;
  file.weights["w"] = noise({64, 64}, 1);
  file.save(dir / "a.safetensors");
  interplay::testing::damage(dir / "a.safetensors", 9000);
  EXPECT_THAT(data_error([&] { AdapterFile::load(dir / "a.safetensors"); }), HasSubstr("a.safetensors"));
  nn::save_safetensors(dir / "b.safetensors", {{"w", noise({2}, 1)}});
  EXPECT_THAT(data_error([&] { AdapterFile::load(dir / "b.safetensors"); }), HasSubstr("no metadata entry 'format'"));
}

}  // namespace
}  // namespace interplay::lm::adapter_test
