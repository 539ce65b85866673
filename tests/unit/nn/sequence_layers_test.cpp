// Layers that read a history: against values that tests/reference/autograph.py makes, and against LibTorch's own.
#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/nn/modules/rnn.h>
#include <torch/nn/modules/transformerlayer.h>

#include <interplay/nn/capsules.h>
#include <interplay/nn/causal_transformer.h>
#include <interplay/nn/interest.h>
#include <interplay/nn/last_state.h>
#include <interplay/nn/sampled_softmax.h>

#include "support/stored.h"

namespace interplay::nn::sequence_layers_test {
namespace {

using interplay::testing::expect_near;
using interplay::testing::json_tensor;
using Json = nlohmann::ordered_json;

const Json& stored(const char* part) {
  static const Json all = interplay::testing::reference_json("systems/autograph.json");
  return all.at(part);
}

/// Entries of rows that have so many.
SequenceVectors entries(const std::vector<int64_t>& lengths, int64_t width, uint64_t seed = 3) {
  at::manual_seed(seed);
  const auto counts = at::tensor(lengths, at::kLong);
  const auto offsets = at::cat({at::zeros({1}, at::kLong), counts.cumsum(0)});
  const int64_t n = counts.sum().item<int64_t>();
  return {at::randn({n, width}), at::arange(int64_t(lengths.size())).repeat_interleave(counts), offsets, {}, {}};
}

TEST(Squash, IsThatOfItsDefinition) {
  expect_near(squash(json_tensor(stored("squash")["v"])), json_tensor(stored("squash")["y"]), 1e-6, "squash");
  EXPECT_TRUE(at::equal(squash(at::zeros({2, 3})), at::zeros({2, 3})));
}

TEST(Capsules, RouteAsTheirDefinitionSays) {
  const Json& j = stored("capsules");
  Capsules layer(2, CapsulesOptions{.capsules = 3, .steps = j["steps"], .positions = 4});
  const at::NoGradGuard no_grad;
  layer->shared.copy_(json_tensor(j["S"]));
  layer->routing.copy_(json_tensor(j["routing"]));
  const auto h = json_tensor(j["entries"]);  // [3, 2]; a second row, of one entry, beside it
  const PaddedSequence x{at::stack({h, at::cat({h.narrow(0, 0, 1), at::zeros({2, 2})})}),
                         at::tensor({1, 1, 1, 1, 0, 0}).view({2, 3}).to(at::kBool), at::tensor({3, 1}, at::kLong)};
  expect_near(layer->route(x)[0], json_tensor(j["u"]), 1e-5, "u");
}

TEST(CausalTransformer, IsTorchsEncoderUnderACausalMask) {
  const int64_t E = 8, T = 5;
  CausalTransformer ours(E, CausalTransformerOptions{.layers = 1, .heads = 2, .hidden = 12, .positions = 5});
  torch::nn::TransformerEncoderLayer theirs(
      torch::nn::TransformerEncoderLayerOptions(E, 2).dim_feedforward(12).dropout(0).activation(torch::kGELU));
  ours->eval();
  theirs->eval();
  const at::NoGradGuard no_grad;
  auto from = ours->named_parameters();
  at::manual_seed(1);
  for (auto& p : from) p.value().normal_(0, 0.4);
  auto to = theirs->named_parameters();
  const std::pair<const char*, const char*> same[] = {{"query_key_value_0", "self_attn.in_proj_"},
                                                      {"attention_output_0.", "self_attn.out_proj."},
                                                      {"attention_norm_0.", "norm1."},
                                                      {"up_0.", "linear1."},
                                                      {"down_0.", "linear2."},
                                                      {"output_norm_0.", "norm2."}};
  for (const auto& [mine, other] : same) {
    for (const char* what : {"weight", "bias"}) {
      const std::string name = std::string(mine) + (std::string(mine).ends_with(".") ? "" : ".") + what;
      to[std::string(other) + what].copy_(from[name]);
    }
  }
  const auto sequence = entries({T, 3}, E);
  const auto x = pad(sequence);
  const auto first = at::layer_norm(x.vectors + from["positions"], {E}, from["norm.weight"], from["norm.bias"], 1e-12);
  const auto mask = at::full({T, T}, -INFINITY).triu(1);
  const auto expected = theirs(first.transpose(0, 1), mask).transpose(0, 1);  // [B, T, E]
  expect_near(ours->states(x)[0], expected[0], 2e-5, "a whole row");
  expect_near(ours->states(x)[1].narrow(0, 0, 3), expected[1].narrow(0, 0, 3), 2e-5, "what lies before padding");
  expect_near(ours(sequence), at::stack({expected[0][4], expected[1][2]}), 2e-5, "the last entries");
}

// The last entry alone is made of the last layer: its number and its gradients are those of all entries' states.
TEST(CausalTransformer, LeavesOutWhatItsLastEntryDoesNotNeed) {
  const int64_t E = 8;
  at::manual_seed(4);
  CausalTransformer layers(E, CausalTransformerOptions{.layers = 3, .heads = 2, .hidden = 12, .positions = 6});
  const auto sequence = entries({5, 0, 1, 3}, E);
  const auto gradients = [&](const at::Tensor& out) {
    layers->zero_grad();
    out.mul(at::arange(out.numel()).view_as(out)).sum().backward();
    std::vector<at::Tensor> all;
    for (const auto& p : layers->parameters()) all.push_back(p.grad().clone());
    return all;
  };
  const auto padded = pad(sequence);
  const auto whole = last_state(layers->states(padded), padded.lengths), found = layers(sequence);
  expect_near(found, whole, 1e-5, "last entries");
  const auto expected = gradients(whole), grads = gradients(found);
  for (size_t i = 0; i < grads.size(); ++i) expect_near(grads[i], expected[i], 1e-4, std::to_string(i).c_str());
}

TEST(GruStates, AreTorchsOfSeveralLayers) {
  const torch::nn::GRU gru(torch::nn::GRUOptions(4, 6).num_layers(2).batch_first(true));
  const at::NoGradGuard no_grad;
  const auto x = at::randn({3, 5, 4});
  auto theirs = gru;
  expect_near(gru_states(gru, x), std::get<0>(theirs->forward(x)), 1e-6, "states");
}

TEST(LastState, IsThatAfterARowsLastEntry) {
  const auto states = at::arange(12).to(at::kFloat).view({3, 2, 2});
  const auto last = last_state(states, at::tensor({2, 1, 0}, at::kLong));
  EXPECT_TRUE(at::equal(last, at::tensor({2.f, 3.f, 4.f, 5.f, 0.f, 0.f}).view({3, 2}))) << last;
}

TEST(SampledSoftmax, IsThatOfItsDefinition) {
  const Json& j = stored("softmax_loss");
  const auto items = json_tensor(j["items_positive_first"]);  // [2, 4, 3]
  const auto candidates = items.slice(1, 1).reshape({6, 3});  // a row's three, then the other's
  const auto which = at::tensor({0, 1, 2, 3, 4, 5}, at::kLong).view({2, 3});
  const auto loss = sampled_softmax(json_tensor(j["user"]), items.select(1, 0), candidates, which, 1);
  EXPECT_NEAR(loss.mean().item<double>(), j["loss"].get<double>(), 1e-5);
}

TEST(DrawNegatives, AreDistinctAlikeAndNeverARowsOwn) {
  const auto all = at::tensor({2, 3, 5, 7, 11}, at::kLong);
  const auto own = at::tensor({5, 4}, at::kLong).repeat({6000});
  at::manual_seed(1);
  const auto drawn = draw_negatives(own, all, 2);  // [12000, 2]
  EXPECT_FALSE(drawn.eq(own.unsqueeze(1)).any().item<bool>());
  EXPECT_FALSE(drawn.select(1, 0).eq(drawn.select(1, 1)).any().item<bool>());
  const auto of_five = drawn.view({6000, 2, 2}).select(1, 0), of_four = drawn.view({6000, 2, 2}).select(1, 1);
  for (const int64_t item : {2, 3, 7, 11})  // each in half of the rows; 4 standard deviations are .026
    EXPECT_NEAR(of_five.eq(item).sum().item<double>() / 6000, 0.5, 0.026) << item;
  for (const int64_t item : {2, 3, 5, 7, 11})
    EXPECT_NEAR(of_four.eq(item).sum().item<double>() / 6000, 0.4, 0.026) << item;
  EXPECT_EQ(draw_negatives(own, all, 50).size(1), 4);
}

}  // namespace
}  // namespace interplay::nn::sequence_layers_test
