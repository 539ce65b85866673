// Graph attention against values that tests/reference/autograph.py makes of its definition.
#include <interplay/nn/graph_attention.h>

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <interplay/nn/plain_scope.h>

#include "support/error_of.h"
#include "support/stored.h"

namespace interplay::nn::graph_attention_test {
namespace {

using interplay::testing::config_error;
using interplay::testing::expect_near;
using interplay::testing::json_tensor;
using ::testing::HasSubstr;
using Json = nlohmann::ordered_json;

constexpr double kTolerance = 1e-5;

const Json& stored() {
  static const Json all = interplay::testing::reference_json("systems/autograph.json");
  return all.at("gat");
}

GraphAttention stored_layer() {
  const Json& j = stored();
  GraphAttention layer(2, 3, 2, 2);
  const at::NoGradGuard no_grad;
  layer->source_weight.copy_(json_tensor(j["Ws"]).view({4, 2}));
  layer->target_weight.copy_(json_tensor(j["Wd"]).view({4, 3}));
  layer->attend_source.copy_(json_tensor(j["al"]));
  layer->attend_target.copy_(json_tensor(j["ar"]));
  layer->bias.copy_(json_tensor(j["bias"]).flatten());
  return layer;
}

TargetEdges edges_of(const std::vector<int64_t>& sources, const std::vector<int64_t>& offsets) {
  return {at::tensor(sources, at::kLong), at::tensor(offsets, at::kLong)};
}

/// Values and scores of many nodes, some without edges, some with an edge twice.
struct Drawn {
  explicit Drawn(int64_t width) {
    at::manual_seed(5);
    values = at::randn({30, 2, width});
    source = at::randn({30, 2});
    target = at::randn({200, 2});
    auto lists = at::randint(-20, 30, {200, 9}, at::kLong).clamp_min(-1);
    lists[3].fill_(-1);
    lists[4].fill_(7);
    edges = TargetEdges::of_lists(lists);
  }
  at::Tensor values, source, target;
  TargetEdges edges;
};

TEST(GraphAttention, IsThatOfItsDefinition) {
  const auto x = json_tensor(stored()["x_source"]), y = json_tensor(stored()["x_target"]);
  auto layer = stored_layer();
  const auto all = edges_of({0, 1, 2}, {0, 3, 3});
  expect_near(layer(x, y, all), json_tensor(stored()["output"]), kTolerance, "three edges, and none: the bias");
  expect_near(layer(x, y, edges_of({1}, {0, 1, 1})), json_tensor(stored()["single_edge_output"]), kTolerance, "one");
  const PlainScope plain;
  expect_near(layer(x, y, all), json_tensor(stored()["output"]), kTolerance, "the plain twin");
}

TEST(GraphAttention, SharesAddUpToOneByTargetAndHead) {
  const auto x = json_tensor(stored()["x_source"]), y = json_tensor(stored()["x_target"]);
  auto layer = stored_layer();
  const auto score = layer->sources(x).score;
  const auto target = at::matmul(y, layer->target_weight.t()).view({2, 2, 2}).mul(layer->attend_target).sum(2);
  const auto share = edge_attention(score, target, edges_of({0, 1, 2}, {0, 3, 3}));
  expect_near(share, json_tensor(stored()["attention_per_edge_and_head"]), kTolerance, "shares");
  expect_near(share.sum(0), at::ones({2}), 1e-6, "sums");
}

TEST(GraphAttention, ARepeatedEdgeCountsTwice) {
  const auto values = at::tensor({1.f, 4.f}).view({2, 1, 1});
  const auto equal = at::zeros({2, 1});
  const auto y = gather_attention(values, equal, at::zeros({1, 1}), edges_of({0, 1, 1}, {0, 3}));
  expect_near(y.flatten(), at::tensor({3.f}), 1e-6, "two thirds of 4, a third of 1");
}

TEST(GraphAttention, TheKernelIsItsPlainTwin) {
  for (const int64_t width : {1, 5, 16, 32, 40}) {
    const auto run = [&](bool plain) {
      Drawn d(width);
      for (auto* t : {&d.values, &d.source, &d.target}) t->requires_grad_();
      const std::optional<PlainScope> scope(plain ? std::optional<PlainScope>(std::in_place) : std::nullopt);
      const auto y = gather_attention(d.values, d.source, d.target, d.edges);
      (y * at::linspace(-1, 1, y.numel()).view_as(y)).sum().backward();
      return std::vector<at::Tensor>{y, d.values.grad(), d.source.grad(), d.target.grad()};
    };
    const auto fused = run(false), plain = run(true);
    const char* const names[] = {"y", "values", "source", "target"};
    for (size_t i = 0; i < 4; ++i) expect_near(fused[i], plain[i], kTolerance, fmt::format("{} {}", names[i], width));
  }
}

TEST(GraphAttention, BitsDoNotDependOnThreads) {
  const auto run = [](int threads) {
    const int before = at::get_num_threads();
    at::set_num_threads(threads);
    Drawn d(32);
    for (auto* t : {&d.values, &d.source, &d.target}) t->requires_grad_();
    gather_attention(d.values, d.source, d.target, d.edges).square().sum().backward();
    at::set_num_threads(before);
    return at::cat({d.values.grad().flatten(), d.source.grad().flatten(), d.target.grad().flatten()});
  };
  EXPECT_TRUE(at::equal(run(1), run(2)));
}

TEST(GraphAttention, GradientsAreDifferences) {
  const auto x = json_tensor(stored()["x_source"]), y = json_tensor(stored()["x_target"]);
  auto layer = stored_layer();
  const auto edges = edges_of({0, 1, 2, 0, 2}, {0, 3, 5});
  const auto loss = [&] { return (layer(x, y, edges).square() * 3).sum(); };
  loss().backward();
  for (auto& p : layer->named_parameters()) {
    const auto gradient = p.value().grad().clone();
    const at::NoGradGuard no_grad;
    auto flat = p.value().view({-1});
    for (int64_t i = 0; i < flat.numel(); ++i) {
      const float was = flat[i].item<float>(), step = 1e-2f;
      flat[i].fill_(was + step);
      const double above = loss().item<double>();
      flat[i].fill_(was - step);
      const double below = loss().item<double>();
      flat[i].fill_(was);
      EXPECT_NEAR(gradient.view({-1})[i].item<double>(), (above - below) / (2 * step), 5e-3) << p.key() << " " << i;
    }
  }
}

TEST(GraphAttention, RefusesEdgesOfNowhere) {
  const auto ask = [](int64_t source) {
    gather_attention(at::zeros({2, 1, 4}), at::zeros({2, 1}), at::zeros({1, 1}), edges_of({source}, {0, 1}));
  };
  EXPECT_THAT(config_error([&] { ask(2); }), HasSubstr("an edge comes from node 2 of 2"));
  EXPECT_THAT(config_error([&] { ask(-1); }), HasSubstr("an edge comes from node -1 of 2"));
}

}  // namespace
}  // namespace interplay::nn::graph_attention_test
