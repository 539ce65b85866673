// The parts of ReLLaX against values that tests/reference/rellax.py makes of their definitions.
#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/optim/adam.h>

#include <interplay/core/model.h>
#include <interplay/core/represents.h>
#include <interplay/lm/adapter.h>
#include <interplay/lm/conditions.h>
#include <interplay/lm/decoder.h>

#include "support/error_of.h"
#include "support/stored.h"
#include "systems/rellax/core_gates.h"
#include "systems/rellax/item_projection.h"

namespace interplay::rellax_parts_test {
namespace {

using testing::config_error;
using testing::expect_near;
using testing::put;
using Json = nlohmann::ordered_json;
using ::testing::HasSubstr;

constexpr double kTolerance = 1e-5;

at::Tensor tensor(const Json& values) { return testing::json_tensor(values); }

const Json& stored(const char* part) {
  static const Json all = testing::reference_json("systems/rellax.json");
  return all.at(part);
}

/// The stored adapter: two samples of two tokens, rank 2.
class CfLora : public ::testing::Test {
 protected:
  CfLora() : CfLora(tensor(stored("cflora")["A"]), tensor(stored("cflora")["B"])) {}
  CfLora(const at::Tensor& a, const at::Tensor& b)
      : x_(tensor(json_["x"]).view({4, 4})),
        linear_(tensor(json_["W"]), std::vector<lm::AdapterLinearImpl::Output>{{"q", 3}}) {
    linear_->adapt("q", {.rank = a.size(0), .alpha = 2.0 * double(a.size(0))}, 1);
    const at::NoGradGuard no_grad;
    linear_->adapters()[0].a.copy_(a);
    linear_->adapters()[0].b.copy_(b);
  }
  at::Tensor with(const at::Tensor& core) {
    lm::AdapterCall call;
    call.mixes["q"].core = core;
    return linear_(x_, &call, sample_).view({2, 2, 3});
  }
  const Json& json_ = stored("cflora");
  at::Tensor x_, sample_ = at::tensor({0, 0, 1, 1}, at::kLong);
  lm::AdapterLinear linear_;
};

TEST_F(CfLora, CoresLieBetweenAAndBAsRowsGoThroughThem) {
  const auto plain = linear_(x_).view({2, 2, 3});
  expect_near(plain, tensor(json_["lora_equals_core_identity"]), kTolerance, "without cores");
  EXPECT_TRUE(at::equal(with(at::eye(2).expand({2, 2, 2})), plain));  // to the bit
  const auto core = tensor(json_["G"]);
  expect_near(with(core), tensor(json_["core_full"]), kTolerance, "full");
  expect_near(with(tensor(json_["G_diagonal"])), tensor(json_["core_diagonal"]), kTolerance, "diagonal");
  const auto wrong = tensor(json_["transposed_core_is_wrong"]);
  expect_near(with(core.transpose(1, 2)), wrong, kTolerance, "transposed");
  EXPECT_GT((with(core) - wrong).abs().max().item<double>(), 1e-2);
}

TEST_F(CfLora, GradientsAreThoseOfTheDefinition) {
  auto core = tensor(json_["G"]).requires_grad_();
  x_.requires_grad_();
  const auto loss = (with(core) * tensor(json_["upstream_gradient"])).sum();
  EXPECT_NEAR(loss.item<double>(), json_["loss"].get<double>(), kTolerance);
  loss.backward();
  expect_near(core.grad(), tensor(json_["grad_G"]), kTolerance, "core");
  expect_near(x_.grad().view({2, 2, 4}), tensor(json_["grad_x"]), kTolerance, "x");
}

class CfLoraExperts : public CfLora {
 protected:
  static const Json& of() { return stored("cflora")["expert_mixture_as_block_diagonal"]; }
  CfLoraExperts() : CfLora(tensor(of()["A"]), tensor(of()["B"])) {}
};

TEST_F(CfLoraExperts, AMixtureIsACoreThatIsConstantInBlocks) {
  const auto w = tensor(of()["w"]);
  const auto core = at::diag_embed(w.repeat_interleave(2)).expand({2, 4, 4});
  expect_near(with(core)[0], tensor(of()["y"]), kTolerance, "two experts");
}

TEST(CoreGates, AreTheDefinition) {
  const Json &json = stored("gate_network"), &of = stored("cflora");
  CoreGates gates(std::vector<std::string>{"layers.0.self_attn.q_proj"}, 3, 2,
                  CoreOptions{.core = "full", .start = "random"});
  const std::string name = "layers/0/self_attn/q_proj";
  put(*gates, name + "/up.weight", tensor(json["W1"])), put(*gates, name + "/up.bias", tensor(json["b1"]));
  put(*gates, name + "/out.weight", tensor(json["W2"])), put(*gates, name + "/out.bias", tensor(json["b2"]));
  const auto call = gates(tensor(json["h"]));
  const auto core = call.mixes.at("layers.0.self_attn.q_proj").core;
  expect_near(core, tensor(json["G"]), kTolerance, "cores");
  lm::AdapterLinear linear(tensor(of["W"]),
                           std::vector<lm::AdapterLinearImpl::Output>{{"layers.0.self_attn.q_proj", 3}});
  linear->adapt("layers.0.self_attn.q_proj", {.rank = 2, .alpha = 4}, 1);
  {
    const at::NoGradGuard no_grad;
    linear->adapters()[0].a.copy_(tensor(of["A"])), linear->adapters()[0].b.copy_(tensor(of["B"]));
  }
  const auto y = linear(tensor(of["x"]).view({4, 4}), &call, at::tensor({0, 0, 1, 1}, at::kLong));
  expect_near(y.view({2, 2, 3}), tensor(json["y"]), kTolerance, "output");
}

TEST(CoreGates, BeginAsTheIdentityWhateverTheState) {
  for (const char* core : {"full", "diag", "block"}) {
    CoreGates gates(std::vector<std::string>{"q", "v"}, 6, 4, CoreOptions{.core = core});
    const auto call = gates(at::randn({3, 6}) * 10);
    ASSERT_EQ(call.mixes.size(), 2u);
    for (const auto& [name, mix] : call.mixes) EXPECT_TRUE(at::equal(mix.core, at::eye(4).expand({3, 4, 4}))) << core;
  }
  EXPECT_TRUE(
      CoreGates(std::vector<std::string>{"q"}, 6, 4, CoreOptions{.core = "identity"})(at::randn({3, 6})).mixes.empty());
  // 8 ranks, a state of 256: layer norm 512, up 256 x 128 + 128, out 128 x 64 + 64
  CoreGates paper(std::vector<std::string>{"q"}, 256, 8, CoreOptions{});
  EXPECT_EQ(parameter_count(*paper), 41664);
  EXPECT_THAT(config_error([] {
                CoreGates(std::vector<std::string>{"q"}, 6, 4, CoreOptions{"block", "identity", 3});
              }),
              HasSubstr("model.blocks: 3 experts cannot share 4 ranks alike"));
}

/// The least mean squared error of an adapter with cores, A and B of which learn too, of one whose core is planted.
double fitted(const std::string& core, const at::Tensor& h, const at::Tensor& planted) {
  constexpr int64_t kIn = 6, kOut = 5, kRank = 4;
  at::manual_seed(3);
  const auto weight = at::randn({kOut, kIn}), a = at::randn({kRank, kIn}), b = at::randn({kOut, kRank});
  const auto x = at::randn({h.size(0), kIn}), sample = at::arange(h.size(0));
  const auto y = at::linear(x, weight) + at::bmm(at::linear(x, a).unsqueeze(1), planted).squeeze(1).matmul(b.t());
  lm::AdapterLinear linear(weight, std::vector<lm::AdapterLinearImpl::Output>{{"q", kOut}});
  linear->adapt("q", {.rank = kRank, .alpha = kRank}, 1);
  CoreGates gates(std::vector<std::string>{"q"}, h.size(1), kRank, CoreOptions{.core = core});
  {
    const at::NoGradGuard no_grad;
    linear->adapters()[0].a.copy_(a), linear->adapters()[0].b.copy_(b);
  }
  std::vector<at::Tensor> learnt = linear->parameters();
  for (const auto& p : gates->parameters()) learnt.push_back(p);
  torch::optim::Adam adam(learnt, torch::optim::AdamOptions(1e-2));
  double loss = 0;
  for (int step = 0; step < 1200; ++step) {
    if (step == 900) static_cast<torch::optim::AdamOptions&>(adam.param_groups()[0].options()).lr(1e-3);
    const auto call = gates(h);
    const auto off = at::mse_loss(linear(x, call.mixes.empty() ? nullptr : &call, sample), y);
    adam.zero_grad();
    off.backward();
    adam.step();
    loss = off.item<double>();
  }
  return loss;
}

TEST(CoreGates, OnlyAFullCoreTurnsTheRanks) {
  at::manual_seed(5);
  auto h = at::randn({100, 4});
  h.select(1, 0).sign_();
  // the same for every sample, constant in blocks: each kind of core can say it, A and B helping
  const auto diagonal = at::diag_embed(at::tensor({2.f, 2.f, -0.5f, -0.5f})).expand({100, 4, 4});
  for (const char* core : {"identity", "diag", "block", "full"}) EXPECT_LT(fitted(core, h, diagonal), 1e-2) << core;
  // ranks 0 and 1, 2 and 3 turned by an eighth, one way or the other as the state says: I + w J, which no A and B make
  // diagonal for both
  const auto way = h.select(1, 0);
  auto turned = at::eye(4).repeat({100, 1, 1});
  for (const int64_t i : {0, 2}) {
    turned.select(1, i).select(1, i + 1).copy_(way);
    turned.select(1, i + 1).select(1, i).copy_(-way);
  }
  const double full = fitted("full", h, turned);
  EXPECT_LT(full, 0.2);
  for (const char* core : {"identity", "diag", "block"}) EXPECT_GT(fitted(core, h, turned), 10 * full) << core;
}

TEST(ItemProjection, VectorsStandWhereTheyBelongAndNowhereElse) {
  const Json& json = stored("spa");
  ItemProjection project(2, 4);
  put(*project, "up.weight", tensor(json["P1"])), put(*project, "up.bias", tensor(json["p1"]));
  put(*project, "out.weight", tensor(json["P2"])), put(*project, "out.bias", tensor(json["p2"]));
  const auto items =
      at::cat({tensor(json["item_vectors_in_prompt_order"]), tensor(json["target_vector"]).view({1, 2})});
  // a decoder without layers, whose vocabulary are the places of the stored text
  const auto words = tensor(json["token_embeddings"]);
  lm::Decoder decoder(lm::DecoderConfig{.layers = 0,
                                        .width = 4,
                                        .heads = 1,
                                        .kv_heads = 1,
                                        .head_dim = 4,
                                        .hidden = 4,
                                        .vocabulary = words.size(0),
                                        .context = 16},
                      words, std::vector<lm::DecoderImpl::Layer>{}, at::ones({4}), words, "");
  std::vector<int64_t> text;
  for (const auto& id : json["ids"])
    text.push_back(id == json["marker_history"] || id == json["marker_target"] ? lm::TokenBatch::kVector
                                                                               : int64_t(text.size()));
  const auto batch = decoder->batch({text}, project(items));
  expect_near(batch.embeddings, tensor(json["result"]), kTolerance, "embeddings");
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] < 0) continue;
    EXPECT_TRUE(at::equal(batch.embeddings[int64_t(i)], words[int64_t(i)])) << i;
  }
  EXPECT_THAT(config_error([&] { decoder->batch({text}, project(items.slice(0, 1))); }),
              HasSubstr("vectors of shape [2, 4] for 3 places"));
  EXPECT_THAT(config_error([&] {
                decoder->batch({{1, 2}}, at::Tensor()), decoder->batch({{1, 99}}, at::zeros({0, 4}));
              }),
              HasSubstr("token ids from 1 to 99"));
  EXPECT_THAT(config_error([&] { lm::Conditions({{text}}, project(items.slice(0, 1)), {}); }),
              HasSubstr("2 vectors for 3 places in 1 texts"));
}

TEST(ItemProjection, StartsAsXavierNormalDrawsIt) {
  at::manual_seed(1);
  ItemProjection project(64, 576);
  const auto parameters = project->named_parameters();
  EXPECT_NEAR(parameters["up.weight"].std().item<double>(), std::sqrt(2.0 / (64 + 576)), 1e-3);
  EXPECT_NEAR(parameters["out.weight"].std().item<double>(), std::sqrt(2.0 / (576 + 576)), 1e-3);
  EXPECT_EQ(parameters["up.bias"].abs().max().item<float>(), 0);
}

TEST(Din, WithMappedEntriesIsTheCtrModelOfRellax) {
  const Json& json = stored("ctr_base_din");
  Field user, item, history, rating;
  user.name = user.table = "user", user.rows = 3;
  item.name = item.table = "item", item.rows = 6;
  history.name = "h", history.table = "item", history.rows = 6, history.target = "item",
  history.kind = FieldKind::sequence;
  rating.name = rating.table = "r", rating.rows = 6, rating.paired_with = "h", rating.kind = FieldKind::sequence;
  const Schema schema({user, item, history, rating}, {"label"});
  const auto model = make_model(
      Config::parse("{name: din, embedding_dim: 2, hidden: [3, 3], attention_hidden: [3], attention_activation: relu, "
                    "map_entries: true}"),
      schema);
  model->eval();
  auto weights = weights_of(*model);
  const auto rows = [&](const char* table, const Json& values) {
    const auto t = tensor(values);
    return weights.at(fmt::format("fields.{}.weight", table)).narrow(0, 1, t.dim() == 1 ? 1 : t.size(0)).copy_(t);
  };
  {
    const at::NoGradGuard no_grad;
    rows("user", json["e_user"]);
    // items 1 to 3 of the history, 4 the row's own
    weights.at("fields.item.weight").narrow(0, 1, 3).copy_(tensor(json["hist_items"]));
    weights.at("fields.item.weight")[4].copy_(tensor(json["e_item"]));
    weights.at("fields.r.weight").narrow(0, 1, 3).copy_(tensor(json["hist_ratings"]));
    weights.at("map_0.weight").copy_(tensor(json["hist_map_W"])),
        weights.at("map_0.bias").copy_(tensor(json["hist_map_b"]));
    weights.at("attention_0.mlp.linear0.weight").copy_(tensor(json["att_W"]));
    weights.at("attention_0.mlp.linear0.bias").copy_(tensor(json["att_b"]));
    weights.at("attention_0.mlp.output.weight").copy_(tensor(json["att_out_w"]).view({1, 3}));
    weights.at("attention_0.mlp.output.bias").fill_(json["att_out_b"].get<float>());
    for (size_t i = 0; i < json["mlp"].size(); ++i) {
      weights.at(fmt::format("mlp.linear{}.weight", i)).copy_(tensor(json["mlp"][i]["W"]));
      weights.at(fmt::format("mlp.linear{}.bias", i)).copy_(tensor(json["mlp"][i]["b"]));
    }
    weights.at("mlp.output.weight").copy_(tensor(json["out_w"]).view({1, 3}));
    weights.at("mlp.output.bias").fill_(json["out_b"].get<float>());
  }
  Features x;
  x.rows = 1;
  x.ids = at::tensor({1, 4}, at::kInt).view({1, 2});
  const auto offsets = at::tensor({0, 2}, at::kLong);  // the stored third entry is masked
  x.sequences = {{at::tensor({1, 2}, at::kInt), offsets, {}}, {at::tensor({1, 2}, at::kInt), offsets, {}}};
  const at::NoGradGuard no_grad;
  expect_near(model->forward(x).logit, tensor(json["logit"]).view({1}), kTolerance, "logit");
  auto& body = dynamic_cast<Represents&>(*model);
  expect_near(body.represent(x)[0], tensor(json["hidden_state_h_for_CFLoRA"]), kTolerance, "hidden state");
}

}  // namespace
}  // namespace interplay::rellax_parts_test
