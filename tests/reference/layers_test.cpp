// Layers and losses beside those of PyTorch and FuxiCTR: the same weights and inputs give the same results, gradients
// and state. The stored values and the script that made them: tests/reference/layers.py.
#include <cmath>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <interplay/core/loss.h>
#include <interplay/nn/attention.h>
#include <interplay/nn/cross.h>
#include <interplay/nn/embedding.h>
#include <interplay/nn/fm.h>
#include <interplay/nn/mlp.h>
#include <interplay/nn/table_storage.h>

#include "support/stored.h"

namespace interplay::layers_test {
namespace {

using testing::expect_near;
using ::testing::IsEmpty;
using testing::Stored;

// The stored values are fp64 rounded to fp32, ours fp32 throughout: sums of up to some 60 products, each rounded to
// 6e-8 of itself, and a division by a standard deviation where there is a batch norm.
constexpr double kTolerance = 5e-6;

using Inputs = std::map<std::string, at::Tensor>;

/// A layer under test and how it is called.
struct Layer {
  std::shared_ptr<torch::nn::Module> module;  // null where there are no weights
  std::function<at::Tensor(const Inputs&)> forward;
};

Layer mlp(nn::MlpOptions options) {
  options.hidden = {5, 4};
  nn::Mlp module(6, options);
  return {module.ptr(), [module](const Inputs& in) mutable { return module(in.at("x")); }};
}

/// An Mlp that is an activation and nothing else: one linear layer of weight 1 before it, none behind.
Layer activation(const std::string& name) {
  nn::Mlp module(1, nn::MlpOptions{.hidden = {1}, .activation = name, .output = 0});
  module->named_parameters()["linear0.weight"].detach().fill_(1);
  return {module.ptr(), [module](const Inputs& in) mutable { return module(in.at("x").unsqueeze(1)).squeeze(1); }};
}

/// Entries row after row: h [N, K] of which row b owns offsets[b] to offsets[b + 1].
nn::SequenceVectors ragged(const at::Tensor& h, const at::Tensor& offsets) {
  const auto bounds = offsets.to(at::kLong);
  const auto rows = at::arange(bounds.size(0) - 1).repeat_interleave(bounds.diff());
  return {h, rows, bounds, {}, {}};
}

/// The same, every row padded with zeros to `length` entries that are not valid.
nn::SequenceVectors padded(const at::Tensor& h, const at::Tensor& offsets, int64_t length) {
  const auto lengths = offsets.to(at::kLong).diff();
  const int64_t batch = lengths.size(0);
  const auto valid = (at::arange(length).unsqueeze(0) < lengths.unsqueeze(1)).flatten();  // [B L]
  const auto vectors = at::zeros({batch * length, h.size(1)}).index_copy(0, valid.nonzero().squeeze(1), h);
  return {vectors, at::arange(batch).repeat_interleave(length), at::arange(batch + 1) * length, valid, {}};
}

Layer attention(const std::string& name) {
  const bool softmax = name.ends_with("_softmax"), pad = name.find("_padded") != std::string::npos;
  const std::string activation = name.find("dice") != std::string::npos ? "dice" : "relu";
  nn::TargetAttention module(
      3, 0, nn::TargetAttentionOptions{.hidden = {6}, .activation = activation, .dropout = 0, .softmax = softmax});
  return {module.ptr(), [module, pad](const Inputs& in) mutable {
            const at::Tensor &h = in.at("history"), &offsets = in.at("offsets");
            return module(in.at("target"), pad ? padded(h, offsets, 4) : ragged(h, offsets));
          }};
}

Layer make_layer(const std::string& name) {
  if (name == "mlp") return mlp({});
  if (name == "mlp_open") return mlp({.output = 0});
  if (name == "mlp_batch") return mlp({.norm = "batch"});
  if (name == "mlp_layer") return mlp({.norm = "layer"});
  if (name == "mlp_dice") return mlp({.activation = "dice"});
  if (name == "cross") {
    nn::Cross module(8, 3);
    return {module.ptr(), [module](const Inputs& in) mutable { return module(in.at("x")); }};
  }
  if (name == "dice") {
    nn::Dice module(4);
    return {module.ptr(), [module](const Inputs& in) mutable { return module(in.at("x")); }};
  }
  if (name.starts_with("activation_")) return activation(name.substr(11));
  if (name.starts_with("attention_")) return attention(name);
  if (name.starts_with("pool_")) {
    const std::string how = name.starts_with("pool_sum") ? "sum" : "mean";
    return {nullptr, [how](const Inputs& in) {
              auto sequence = ragged(in.at("e"), in.at("offsets"));
              if (in.contains("weights")) sequence.weights = in.at("weights");
              return nn::pool(sequence, how);
            }};
  }
  return {};
}

/// Where our layer keeps what is stored as `name`, and which layer of a stacked parameter that is (-1: all of it).
std::pair<std::string, int64_t> place_of(const std::string& layer, const std::string& name) {
  const auto statistics = [](std::string n) {  // Dice keeps its batch norm as a child
    const size_t at = n.find("running_");
    return at == std::string::npos ? n : n.insert(at, "norm.");
  };
  if (layer == "cross") return {name.substr(7), name[5] - '0'};  // cross<l>.weight
  if (layer == "dice") return {statistics(name), -1};
  if (layer.starts_with("activation")) return {"slope0", -1};
  if (layer.starts_with("attention")) {
    if (name.starts_with("linear0")) return {"mlp." + name, -1};
    if (name.starts_with("linear1")) return {"mlp.output" + name.substr(7), -1};
    return {"mlp.dice0." + statistics(name), -1};
  }
  if (name.starts_with("linear2")) return {"output" + name.substr(7), -1};
  return {name.starts_with("dice") ? statistics(name) : name, -1};
}

at::Tensor own_tensor(const Layer& layer, const std::string& name) {
  if (const auto* found = layer.module->named_parameters().find(name)) return *found;
  if (const auto* found = layer.module->named_buffers().find(name)) return *found;
  ADD_FAILURE() << "our layer has no '" << name << "'";
  return {};
}

std::vector<std::string> stored_layers(const std::function<bool(const std::string&)>& wanted) {
  std::vector<std::string> names;
  const auto listing = testing::reference_json("layers.json");
  for (const auto& [name, tensors] : listing.at("layers").items()) {
    if (wanted(name)) names.push_back(name);
  }
  return names;
}

bool is_loss(const std::string& name) { return name.starts_with("bce"); }
bool has_a_test_of_its_own(const std::string& name) { return name == "embedding" || name == "fm"; }
std::string name_of(const ::testing::TestParamInfo<std::string>& info) { return info.param; }

class StoredLayer : public ::testing::TestWithParam<std::string> {
 protected:
  StoredLayer() : stored_("layers.safetensors", GetParam()), layer_(make_layer(GetParam())) {}

  at::Tensor ours(const std::string& name, bool gradient = false) const {
    const auto [own, part] = place_of(GetParam(), name);
    auto tensor = own_tensor(layer_, own);
    if (gradient) tensor = tensor.grad();
    return part >= 0 ? tensor[part] : tensor.detach();
  }

  Stored stored_;
  Layer layer_;
};

INSTANTIATE_TEST_SUITE_P(Every, StoredLayer, ::testing::ValuesIn(stored_layers([](const std::string& name) {
                           return !is_loss(name) && !has_a_test_of_its_own(name);
                         })),
                         name_of);

TEST_P(StoredLayer, EqualsOursInResultGradientsAndState) {
  ASSERT_TRUE(layer_.forward) << "no layer of ours is compared with the stored '" << GetParam() << "'";
  {
    const at::NoGradGuard no_grad;
    for (const auto& name : stored_.names("weight.")) ours(name).copy_(stored_.at("weight." + name));
  }
  Inputs inputs;
  for (const auto& name : stored_.names()) {
    if (stored_.has("d_" + name)) {
      inputs[name] = stored_.at(name).clone().set_requires_grad(true);
    } else if (name == "offsets") {
      inputs[name] = stored_.at(name);
    }
  }
  if (layer_.module) layer_.module->train();
  const auto out = layer_.forward(inputs);
  expect_near(out, stored_.at("out"), kTolerance, "out");
  (out * stored_.at("out_grad")).sum().backward();
  for (const auto& [name, leaf] : inputs) {
    if (name == "offsets") continue;
    auto found = leaf.grad(), expected = stored_.at("d_" + name);
    if (name == "weights") {  // |w| has no derivative at 0
      const auto nonzero = (leaf.detach() != 0).nonzero().squeeze(1);
      found = found.index_select(0, nonzero), expected = expected.index_select(0, nonzero);
    }
    expect_near(found, expected, kTolerance, "d_" + name);
  }
  for (const auto& name : stored_.names("gradient.")) {
    expect_near(ours(name, true), stored_.at("gradient." + name), kTolerance, "gradient." + name);
  }
  for (const auto& name : stored_.names("state.")) {
    expect_near(ours(name), stored_.at("state." + name), kTolerance, "state." + name);
  }
  if (layer_.module) layer_.module->eval();
  expect_near(layer_.forward(inputs), stored_.at(stored_.has("eval") ? "eval" : "out"), kTolerance, "eval");
  EXPECT_THAT(stored_.unread(), IsEmpty());
}

TEST(StoredEmbedding, EqualsOursInRowsAndTheirGradients) {
  Stored stored("layers.safetensors", "embedding");
  nn::Embedding embedding(6, 5);
  embedding->weight().copy_(stored.at("weight"));
  const auto out = embedding(stored.at("ids"));
  EXPECT_TRUE(at::equal(out, stored.at("out")));  // copies
  (out * stored.at("out_grad")).sum().backward();
  const auto gradients = embedding->table().take();
  EXPECT_TRUE(at::equal(gradients.rows, at::tensor({1, 2, 3, 5}, at::kLong)));  // read and not padding
  const auto all = at::zeros({6, 5}).index_copy(0, gradients.rows, gradients.grad);
  expect_near(all, stored.at("gradient.weight"), kTolerance, "gradient.weight");
  EXPECT_THAT(stored.unread(), IsEmpty());
}

TEST(StoredFm, EqualsOursBeforeAndAfterTheSums) {
  Stored stored("layers.safetensors", "fm");
  const auto left = stored.at("left").to(at::kLong), right = stored.at("right").to(at::kLong);
  const auto [l, r] = nn::all_pairs(5);
  EXPECT_TRUE(at::equal(l, left));
  EXPECT_TRUE(at::equal(r, right));
  const auto compare = [&](const std::string& name, const std::string& tail, const auto& function) {
    const auto x = stored.at("x").clone().set_requires_grad(true);
    const at::Tensor out = function(nn::FieldVectors(x));
    expect_near(out, stored.at(name), kTolerance, name);
    (out * stored.at("out_grad" + tail)).sum().backward();
    expect_near(x.grad(), stored.at("d_x" + tail), kTolerance, "d_x" + tail);
  };
  compare("out", "", [](const auto& e) { return nn::fm(e); });
  compare("bi_interaction", "_bi_interaction", [](const auto& e) { return nn::bi_interaction(e); });
  compare("inner_products", "_inner_products", [&](const auto& e) { return nn::inner_products(e, left, right); });
  EXPECT_THAT(stored.unread(), IsEmpty());
}

TEST(SegmentSoftmax, IsOverTheValidEntriesOfEachRowAlone) {
  // Rows of 2, 0, 3 and 1 entries; ln 3 above another is three times its share, however large both are.
  const float ln3 = 1.0986123f;
  auto sequence = ragged(at::zeros({6, 1}), at::tensor({0, 2, 2, 5, 6}));
  const auto scores = at::tensor({1000.f, 1000.f + ln3, 0.f, -2000.f, ln3, -7.f});
  expect_near(nn::segment_softmax(scores, sequence), at::tensor({.25f, .75f, .25f, 0.f, .75f, 1.f}), 1e-4,
              "all entries");  // 1000 + ln 3 is rounded to 6e-5
  sequence.valid = at::tensor({1, 1, 1, 1, 0, 1}).to(at::kBool);
  expect_near(nn::segment_softmax(scores, sequence), at::tensor({.25f, .75f, 1.f, 0.f, 0.f, 1.f}), 1e-4, "a hole");
}

TEST(Pool, LeavesEntriesOutThatAreNotValid) {
  auto sequence = ragged(at::tensor({1.f, 2.f, 10.f, 20.f, 100.f, 200.f}).view({3, 2}), at::tensor({0, 3, 3}));
  sequence.valid = at::tensor({1, 0, 1}).to(at::kBool);
  EXPECT_TRUE(at::equal(nn::pool(sequence, "sum"), at::tensor({101.f, 202.f, 0.f, 0.f}).view({2, 2})));
  EXPECT_TRUE(at::equal(nn::pool(sequence, "mean"), at::tensor({50.5f, 101.f, 0.f, 0.f}).view({2, 2})));
  sequence.weights = at::tensor({3.f, 50.f, 1.f});
  EXPECT_TRUE(at::equal(nn::pool(sequence, "mean"), at::tensor({25.75f, 51.5f, 0.f, 0.f}).view({2, 2})));
  EXPECT_THROW(nn::pool(sequence, "max"), Error);
}

TEST(TargetAttention, WidensTheSumByNumbersBesideTheEntries) {
  // A network of weight 0 and bias 2 scores every entry 2.
  nn::TargetAttention module(2, 1, nn::TargetAttentionOptions{.hidden = {3}, .activation = "relu"});
  {
    const at::NoGradGuard no_grad;
    for (auto& p : module->parameters()) p.zero_();
    module->named_parameters()["mlp.output.bias"].fill_(2);
  }
  EXPECT_EQ(module->named_parameters()["mlp.linear0.weight"].size(1), 9);  // q, h, q - h, q h of 2 and the number
  const auto h = at::tensor({1.f, 2.f, 5.f, 3.f, 4.f, 7.f}).view({2, 3});
  const auto out = module(at::ones({2, 2}), ragged(h, at::tensor({0, 2, 2})));
  EXPECT_TRUE(at::equal(out, at::tensor({8.f, 12.f, 24.f, 0.f, 0.f, 0.f}).view({2, 3}))) << out;
}

TEST(TargetAttention, IsZeroWhereNobodyHasAHistory) {
  nn::TargetAttention module(2, 0, nn::TargetAttentionOptions{.hidden = {3}, .softmax = true});
  EXPECT_TRUE(at::equal(module(at::ones({2, 2}), ragged(at::zeros({0, 2}), at::tensor({0, 0, 0}))), at::zeros({2, 2})));
}

// A last batch of one row has no variance: it is normalised by what was learnt so far, and teaches nothing.
TEST(BatchNorm, TakesTheRunningStatisticsForASingleRow) {
  nn::Dice dice(2);
  {
    const at::NoGradGuard no_grad;
    dice->alpha.copy_(at::tensor({0.5f, 0.25f}));
    dice->named_buffers()["norm.running_mean"].copy_(at::tensor({1.f, -2.f}));
    dice->named_buffers()["norm.running_var"].copy_(at::tensor({4.f, 0.25f}));
  }
  dice->train();
  const auto x = at::tensor({3.f, -1.f}).view({1, 2});  // normalised: 1, 2
  const double p0 = 1 / (1 + std::exp(-1.0)), p1 = 1 / (1 + std::exp(-2.0));
  const auto expected = at::tensor({float(3 * (p0 + (1 - p0) * 0.5)), float(-1 * (p1 + (1 - p1) * 0.25))}).view({1, 2});
  expect_near(dice(x), expected, kTolerance, "one row");
  EXPECT_TRUE(at::equal(dice->named_buffers()["norm.running_mean"], at::tensor({1.f, -2.f})));
}

TEST(Mlp, DropsAShareOfTheHiddenUnitsInTrainingOnly) {
  nn::Mlp mlp(1, nn::MlpOptions{.hidden = {20000}, .dropout = 0.3, .activation = "linear", .output = 0});
  mlp->named_parameters()["linear0.weight"].detach().fill_(1);
  mlp->eval();
  EXPECT_TRUE(at::equal(mlp(at::ones({1, 1})), at::ones({1, 20000})));
  mlp->train();
  at::manual_seed(1);
  const auto out = mlp(at::ones({1, 1}));
  const double kept = (out != 0).to(at::kFloat).mean().item<double>();
  EXPECT_NEAR(kept, 0.7, 5 * std::sqrt(0.3 * 0.7 / 20000));  // five standard deviations
  EXPECT_NEAR(out.max().item<double>(), 1 / 0.7, 1e-6);
}

TEST(Mlp, NamesWhatItDoesNotKnow) {
  const auto complaint = [](const nn::MlpOptions& options) -> std::string {
    try {
      nn::Mlp(2, options);
    } catch (const Error& error) {
      return error.what();
    }
    return "no error";
  };
  using ::testing::HasSubstr;
  EXPECT_THAT(complaint({.activation = "rellu"}), HasSubstr("activation 'rellu' is not known (there are: dice, gelu"));
  EXPECT_THAT(complaint({.norm = "group"}), HasSubstr("norm 'group' is not known (none | batch | layer)"));
  EXPECT_THAT(complaint({.hidden = {4, 0}}), HasSubstr("hidden layer 1 is 0 wide"));
}

class StoredLoss : public ::testing::TestWithParam<std::string> {};
INSTANTIATE_TEST_SUITE_P(Every, StoredLoss, ::testing::ValuesIn(stored_layers(is_loss)), name_of);

TEST_P(StoredLoss, EqualsOursAsAWholeAndRowByRow) {
  Stored stored("layers.safetensors", GetParam());
  const bool positives = GetParam() == "bce_pos_weight";
  const auto loss = losses().make(Config::parse(positives ? "{name: bce, pos_weight: 3}" : "bce"));
  const auto logit = stored.at("logit").clone().set_requires_grad(true), label = stored.at("label");
  const auto weight = stored.has("weight") ? stored.at("weight") : at::Tensor();
  const auto out = loss->forward({logit, label, weight});
  expect_near(out.view({1}), stored.at("out"), kTolerance, "out");
  out.backward();
  expect_near(logit.grad(), stored.at("d_logit"), kTolerance, "d_logit");
  const auto each = stored.at("each");                 // [B] or [B, T]
  for (int64_t row = 0; row < logit.size(0); ++row) {  // all the weight on one row leaves that row's loss
    const auto alone = at::zeros({logit.size(0)}).index_fill(0, at::tensor({row}), 1);
    expect_near(loss->forward({logit, label, alone}), each[row].mean(), kTolerance, "row " + std::to_string(row));
  }
  EXPECT_THAT(stored.unread(), IsEmpty());
}

}  // namespace
}  // namespace interplay::layers_test
