// What LIBER makes of partitions' vectors, against values that tests/reference/liber.py makes of the definitions.
#include <functional>

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "support/error_of.h"
#include "support/stored.h"
#include "systems/liber/fusion.h"

namespace interplay::liber_fusion_test {
namespace {

using testing::expect_near;
using testing::put;
using Json = nlohmann::ordered_json;

constexpr double kTolerance = 1e-5;

at::Tensor tensor(const Json& values) { return testing::json_tensor(values); }

const Json& stored(const char* part) {
  static const Json all = testing::reference_json("systems/liber.json");
  return all.at(part);
}

struct Fusion : ::testing::Test {
  Fusion() {
    for (const auto& [name, key] : {std::pair{"query", "Wq"}, {"key", "Wk"}, {"value", "Wv"}, {"output", "Wo"}})
      put(*among, std::string(name) + ".weight", tensor(json[key]));
    x = (tensor(json["partition_vectors"]) + tensor(json["recency"])).unsqueeze(0);
    q = tensor(json["target_query"]).unsqueeze(0);
  }
  const Json& json = stored("fusion");
  nn::CausalAttention among{2, 1};
  at::Tensor x, q;
  at::Tensor all = at::ones({1, 3}, at::kBool);
};

TEST_F(Fusion, IsTheDefinition) {
  const auto y = among(x, all);
  expect_near(y[0], tensor(json["after_self_attention"]), kTolerance, "self-attention");
  expect_near(nn::attend(q, y, all)[0], tensor(json["z"]), kTolerance, "z");
}

TEST_F(Fusion, WhatIsMaskedIsNotRead) {
  const auto two = at::tensor({1, 1, 0}).to(at::kBool).unsqueeze(0);
  const auto z = nn::attend(q, among(x, two), two);
  expect_near(z[0], tensor(json["masked_two"]["z"]), kTolerance, "the first two");
  auto other = x.clone();
  other.select(1, 2).fill_(1e3);
  EXPECT_TRUE(at::equal(nn::attend(q, among(other, two), two), z));
}

TEST_F(Fusion, APartitionReadsNoLaterOne) {
  auto other = x.clone();
  other.select(1, 2).fill_(7);
  EXPECT_TRUE(at::equal(among(x, all).slice(1, 0, 2), among(other, all).slice(1, 0, 2)));
  EXPECT_FALSE(at::equal(among(x, all), among(other, all)));
}

TEST_F(Fusion, NothingIsZero) {
  const auto none = at::zeros({1, 3}, at::kBool);
  EXPECT_TRUE(at::equal(nn::attend(q, among(x, none), none), at::zeros({1, 2})));
  EXPECT_EQ(testing::config_error([] { nn::CausalAttention(6, 4); }), "4 heads do not divide a width of 6");
}

/// Two heads are two attentions of half the width side by side.
TEST_F(Fusion, HeadsReadHalves) {
  at::manual_seed(3);
  nn::CausalAttention both(4, 2);
  const auto in = at::randn({1, 3, 4});
  put(*both, "output.weight", at::eye(4));
  at::Tensor sums;
  for (int64_t h = 0; h < 2; ++h) {
    const auto rows = [&](const char* name) {
      return both->named_parameters()[std::string(name) + ".weight"].slice(0, 2 * h, 2 * h + 2);
    };
    const auto q = in.matmul(rows("query").t()), k = in.matmul(rows("key").t()), v = in.matmul(rows("value").t());
    auto scores = q.matmul(k.transpose(1, 2)) / std::sqrt(2.);
    scores = scores.masked_fill(at::ones({3, 3}).triu(1).to(at::kBool), -1e30);
    const auto half = scores.softmax(2).matmul(v);
    sums = sums.defined() ? at::cat({sums, half}, 2) : half;
  }
  expect_near(both(in, all), in + sums, kTolerance, "two heads");
}

TEST(HybridExperts, IsTheDefinition) {
  const Json& json = stored("adaptor");
  nn::HybridExperts experts(1, nn::HybridExpertsImpl::Options{.in = 4, .hidden = 3, .out = 2, .shared = 2, .own = 2});
  const auto names = experts->named_parameters();
  std::vector<std::string> weights, biases;
  for (const auto& item : names) {
    if (item.key().starts_with("gate")) continue;
    (item.value().dim() == 2 ? weights : biases).push_back(item.key());
  }
  ASSERT_EQ(weights.size(), 8u);  // of each expert two layers, the shared ones first
  for (size_t e = 0; e < 4; ++e) {
    put(*experts, weights[2 * e], tensor(json["W1"][e])), put(*experts, weights[2 * e + 1], tensor(json["W2"][e]));
    put(*experts, biases[2 * e], tensor(json["b1"][e])), put(*experts, biases[2 * e + 1], tensor(json["b2"][e]));
  }
  put(*experts, "gate_0.weight", tensor(json["gate_W"])), put(*experts, "gate_0.bias", tensor(json["gate_b"]));
  const auto y = experts(std::vector<at::Tensor>{tensor(json["x"]).unsqueeze(0)});
  ASSERT_EQ(y.sizes(), (at::IntArrayRef{1, 1, 2}));
  expect_near(y[0][0], tensor(json["y"]), kTolerance, "y");
}

/// d loss / d parameter by autograd and by central differences, for some numbers of each parameter.
void expect_gradients(torch::nn::Module& module, const std::function<at::Tensor()>& loss) {
  module.zero_grad();
  loss().backward();
  for (const auto& item : module.named_parameters()) {
    auto flat = item.value().detach().view(-1);
    const auto grad = item.value().grad().view(-1);
    for (int64_t i = 0; i < flat.numel(); i += 1 + flat.numel() / 7) {
      const double before = flat[i].item<double>(), step = 1e-5;
      const auto at = [&](double x) {
        const at::NoGradGuard no_grad;
        flat[i].fill_(x);
        return loss().item<double>();
      };
      const double expected = (at(before + step) - at(before - step)) / (2 * step);
      at(before);
      EXPECT_NEAR(grad[i].item<double>(), expected, 1e-7 + 1e-6 * std::abs(expected)) << item.key() << " " << i;
    }
  }
}

TEST(LiberGradients, AreThoseOfCentralDifferences) {
  at::manual_seed(5);
  const auto options = at::TensorOptions(at::kDouble);
  const auto x = at::randn({3, 4, 6}, options), q = at::randn({3, 6}, options);
  const auto valid = at::tensor({1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0}).to(at::kBool).view({3, 4});
  nn::CausalAttention among(6, 2);
  among->to(at::kDouble);
  expect_gradients(*among, [&] { return nn::attend(q, among(x, valid), valid).pow(2).sum(); });
  nn::HybridExperts experts(2, nn::HybridExpertsImpl::Options{.in = 6, .hidden = 5, .out = 3, .shared = 1, .own = 2});
  experts->to(at::kDouble);
  for (auto& parameter : experts->parameters()) {  // no layer's result lies in the corner of relu
    const at::NoGradGuard no_grad;
    parameter.copy_(at::randn_like(parameter));
  }
  expect_gradients(*experts, [&] { return experts(std::vector<at::Tensor>{q, x.select(1, 0)}).pow(2).sum(); });
}

}  // namespace
}  // namespace interplay::liber_fusion_test
