// Models against values that were computed from their definitions in float64: logits, loss, and the gradient of the
// loss by every weight and by the input.
#include <regex>

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <interplay/core/objective.h>
#include <interplay/nn/cin.h>
#include <interplay/nn/embedding.h>
#include <interplay/nn/interest.h>
#include <interplay/nn/low_rank_cross.h>
#include <interplay/nn/mlp.h>
#include <interplay/nn/sampled_softmax.h>
#include <interplay/nn/table_storage.h>

#include "support/stored.h"
#include "support/toy_rows.h"

namespace interplay::zoo_test {
namespace {

using testing::expect_near;
using Json = nlohmann::ordered_json;

constexpr double kTolerance = 3e-6;  // of float32, as a share of the value or of 1

at::Tensor tensor(const Json& values) { return testing::json_tensor(values); }

struct Golden {
  std::string model, config;
  /// From the names of the stored weights to ours, tried in order.
  std::vector<std::pair<std::string, std::string>> names;
};
void PrintTo(const Golden& golden, std::ostream* out) { *out << golden.model; }

class ZooModel : public ::testing::TestWithParam<Golden> {
 protected:
  ZooModel() : stored_(testing::reference_json("zoo/" + GetParam().model + ".json")) {}

  std::string our_name(const std::string& stored) const {
    for (const auto& [pattern, ours] : GetParam().names) {
      if (std::regex_match(stored, std::regex(pattern))) return std::regex_replace(stored, std::regex(pattern), ours);
    }
    return stored;
  }

  /// One field, whose table holds the stored input row by row.
  Schema schema() const {
    return Schema({testing::make_field("x", FieldKind::categorical, rows() + 2)}, {"first", "second"});
  }
  int64_t rows() const { return int64_t(stored_["inputs"]["x0"].size()); }

  Batch batch() const {
    Batch b;
    b.features.rows = rows();
    b.features.ids = at::arange(1, rows() + 1, at::kInt).unsqueeze(1);
    if (stored_["inputs"].contains("click")) {
      const auto click = tensor(stored_["inputs"]["click"]);
      b.labels = at::stack({click, click * tensor(stored_["inputs"]["conversion"])}, 1);
    } else {
      const auto y = tensor(stored_["labels"]);
      b.labels = at::stack({y, 1 - y}, 1);
    }
    return b;
  }

  Json stored_;
};

TEST_P(ZooModel, EqualsItsDefinition) {
  const auto model = make_model(Config::parse(GetParam().config), schema());
  auto weights = weights_of(*model);
  {
    const at::NoGradGuard no_grad;
    weights.at("fields.x.weight").narrow(0, 1, rows()).copy_(tensor(stored_["inputs"]["x0"]));
    for (const auto& [name, value] : stored_["weights"].items()) {
      ASSERT_TRUE(weights.contains(our_name(name))) << name << " -> " << our_name(name);
      weights.at(our_name(name)).copy_(tensor(value));
    }
  }
  EXPECT_EQ(model->named_parameters().size(), stored_["weights"].size());
  model->train();
  Objective objective(Config::scalar("bce"), {}, {"first", "second"});
  const Output out = model->forward(batch().features);
  if (GetParam().model == "esmm") {  // stored are the logits of click and of conversion once clicked
    const auto z = tensor(stored_["outputs"]["logits"]), p = tensor(stored_["outputs"]["p_ctcvr"]);
    expect_near(out.logit.select(1, 0), z.select(1, 0), kTolerance, "click");
    expect_near(out.logit.select(1, 1).sigmoid(), p, kTolerance, "click and conversion");
  } else {
    expect_near(out.logit, tensor(stored_["outputs"]["logits"]), kTolerance, "logits");
  }
  const auto loss = objective(out, batch()).total;
  EXPECT_NEAR(loss.item<double>(), stored_["outputs"]["loss"].get<double>(), kTolerance);
  loss.backward();
  const auto parameters = model->named_parameters();
  for (const auto& [name, gradient] : stored_["gradients"].items()) {
    if (name == "x0") {
      const auto touched = nn::tables_of(*model)[0].table->table().take();
      expect_near(touched.grad, tensor(gradient), kTolerance, name);
    } else {
      expect_near(parameters[our_name(name)].grad(), tensor(gradient), kTolerance, name);
    }
  }
}

const std::vector<std::pair<std::string, std::string>> kTowers{{R"(tower(\d)\.0\.w)", "towers.tower$1.linear0.weight"},
                                                               {R"(tower(\d)\.0\.b)", "towers.tower$1.linear0.bias"},
                                                               {R"(tower(\d)\.1\.w)", "towers.tower$1.output.weight"},
                                                               {R"(tower(\d)\.1\.b)", "towers.tower$1.output.bias"}};

std::vector<std::pair<std::string, std::string>> with_towers(std::vector<std::pair<std::string, std::string>> more) {
  more.insert(more.end(), kTowers.begin(), kTowers.end());
  return more;
}

INSTANTIATE_TEST_SUITE_P(
    Every, ZooModel,
    ::testing::Values(
        Golden{"shared_bottom", "{name: shared_bottom, embedding_dim: 6, bottom_hidden: [4, 3], tower_hidden: [2]}",
               with_towers({{R"(bottom\.(\d)\.w)", "bottom.linear$1.weight"},
                            {R"(bottom\.(\d)\.b)", "bottom.linear$1.bias"}})},
        Golden{"mmoe", "{name: mmoe, embedding_dim: 6, experts: 3, expert_hidden: [3], tower_hidden: [2]}",
               with_towers({{R"(expert(\d)\.0\.w)", "experts.expert$1.linear0.weight"},
                            {R"(expert(\d)\.0\.b)", "experts.expert$1.linear0.bias"},
                            {R"(gate(\d)\.w)", "gate$1.linear.weight"}})},
        Golden{"ple",
               "{name: ple, embedding_dim: 6, levels: 2, own_experts: 1, shared_experts: 2, expert_hidden: [3], "
               "tower_hidden: [2]}",
               with_towers({{R"(l(\d)\.t(\d)\.e(\d)\.0\.w)", "level$1.own$2.expert$3.linear0.weight"},
                            {R"(l(\d)\.t(\d)\.e(\d)\.0\.b)", "level$1.own$2.expert$3.linear0.bias"},
                            {R"(l(\d)\.s\.e(\d)\.0\.w)", "level$1.shared.expert$2.linear0.weight"},
                            {R"(l(\d)\.s\.e(\d)\.0\.b)", "level$1.shared.expert$2.linear0.bias"},
                            {R"(l(\d)\.gate(\d)\.w)", "level$1.gate$2.linear.weight"},
                            {R"(l(\d)\.gate_s\.w)", "level$1.shared_gate.linear.weight"}})},
        Golden{"esmm",
               "{name: esmm, embedding_dim: 6, hidden: [3]}",
               {{R"(ctr\.0\.w)", "click.linear0.weight"},
                {R"(ctr\.0\.b)", "click.linear0.bias"},
                {R"(ctr\.1\.w)", "click.output.weight"},
                {R"(ctr\.1\.b)", "click.output.bias"},
                {R"(cvr\.0\.w)", "conversion.linear0.weight"},
                {R"(cvr\.0\.b)", "conversion.linear0.bias"},
                {R"(cvr\.1\.w)", "conversion.output.weight"},
                {R"(cvr\.1\.b)", "conversion.output.bias"}}}),
    [](const auto& info) { return info.param.model; });

TEST(InBatchSoftmax, EqualsItsDefinition) {
  const Json stored = testing::reference_json("zoo/dssm.json");
  const auto user = tensor(stored["outputs"]["user"]), item = tensor(stored["outputs"]["item"]);
  const auto probability = tensor(stored["inputs"]["sampling_probability"]);
  const auto id = tensor(stored["inputs"]["item_ids"]).to(at::kLong);
  const auto each = nn::in_batch_softmax(user, item, id, 0.1, probability.log());
  const auto score = tensor(stored["outputs"]["scores"]);
  expect_near(each, at::logsumexp(score, 1) - score.diagonal(), 1e-5, "rows");
  EXPECT_NEAR(each.mean().item<double>(), stored["outputs"]["loss"].get<double>(), 1e-5);
}

using Names = std::map<std::string, std::string>;  // of stored weights, and what they are called below a module

void copy_in(torch::nn::Module& module, const Json& weights, const Names& names) {
  const at::NoGradGuard no_grad;
  auto parameters = module.named_parameters();
  EXPECT_EQ(parameters.size(), names.size());
  for (const auto& [stored, ours] : names) parameters[ours].copy_(tensor(weights[stored]));
}

void expect_gradients(torch::nn::Module& module, const Json& gradients, const Names& names) {
  const auto parameters = module.named_parameters();
  for (const auto& [stored, ours] : names)
    expect_near(parameters[ours].grad(), tensor(gradients[stored]), kTolerance, ours);
}

const Names kMlp{{"mlp.0.w", "linear0.weight"},
                 {"mlp.0.b", "linear0.bias"},
                 {"mlp.1.w", "output.weight"},
                 {"mlp.1.b", "output.bias"}};

TEST(Cin, EqualsItsDefinition) {
  const Json stored = testing::reference_json("zoo/xdeepfm.json");
  const auto& in = stored["inputs"];
  const auto e = tensor(in["E"]).requires_grad_();  // [B, F, D]
  nn::Cin cin(3, nn::CinOptions{.hidden = {2, 2}});
  auto output = nn::xavier_linear(4, 1);
  nn::Mlp mlp(6, nn::MlpOptions{.hidden = {3}});
  const Names maps{{"cin.0.w", "layer0.weight"},
                   {"cin.0.b", "layer0.bias"},
                   {"cin.1.w", "layer1.weight"},
                   {"cin.1.b", "layer1.bias"}},
      last{{"cin.out.w", "weight"}, {"cin.out.b", "bias"}};
  copy_in(*cin, stored["weights"], maps);
  copy_in(*output, stored["weights"], last);
  copy_in(*mlp, stored["weights"], kMlp);
  const auto pooled = cin(e);
  expect_near(pooled, tensor(stored["outputs"]["cin_pooled"]), kTolerance, "maps");
  const auto logit = tensor(in["linear"]) + output(pooled).squeeze(1) + mlp(e.flatten(1)).squeeze(1);
  expect_near(logit, tensor(stored["outputs"]["logit"]), kTolerance, "logit");
  at::binary_cross_entropy_with_logits(logit, tensor(stored["labels"])).backward();
  expect_gradients(*cin, stored["gradients"], maps);
  expect_gradients(*output, stored["gradients"], last);
  expect_gradients(*mlp, stored["gradients"], kMlp);
  expect_near(e.grad(), tensor(stored["gradients"]["E"]), kTolerance, "E");
}

// DeepCTR's: relu, and half of the maps go on. By hand: F = 2, D = 1, so that numbers are products of two.
TEST(Cin, SplitGivesHalfOfItsMapsOn) {
  nn::Cin cin(2, nn::CinOptions{.hidden = {2, 1}, .relu = true, .split_half = true});
  ASSERT_EQ(cin->out(), 2);
  const at::NoGradGuard no_grad;
  auto parameters = cin->named_parameters();
  parameters["layer0.weight"].copy_(at::tensor({1.f, 2.f, 3.f, 4.f, -1.f, 0.f, 0.f, 1.f}).view({2, 4}));
  parameters["layer0.bias"].copy_(at::tensor({0.5f, 0.f}));
  parameters["layer1.weight"].copy_(at::tensor({1.f, -2.f}).view({1, 2}));
  parameters["layer1.bias"].copy_(at::tensor({1.f}));
  const auto x = at::tensor({2.f, 3.f}).view({1, 2, 1});
  // x0 x0 = 4, x0 x1 = 6, x1 x0 = 6, x1 x1 = 9: maps 0.5 + 4 + 12 + 18 + 36 = 70.5, which goes on, and -4 + 9 = 5;
  // then relu(1 + 2 * 70.5 - 2 * 3 * 70.5) = 0.
  expect_near(cin(x), at::tensor({5.f, 0.f}).view({1, 2}), kTolerance, "maps");
  EXPECT_THROW(nn::Cin(2, nn::CinOptions{.hidden = {3, 1}, .split_half = true}), Error);
}

/// Of names with a layer's number: `v.0`, `v.1`.
at::Tensor layers_of(const Json& values, const std::string& name) {
  return at::stack({tensor(values[name + ".0"]), tensor(values[name + ".1"])});
}

TEST(LowRankCross, EqualsItsDefinition) {
  const Json stored = testing::reference_json("zoo/dcnv2_low_rank.json");
  nn::LowRankCross cross(6, 2, 2);
  nn::Mlp mlp(6, nn::MlpOptions{.hidden = {3}});
  const auto x0 = tensor(stored["inputs"]["x0"]).requires_grad_();
  {
    const at::NoGradGuard no_grad;
    cross->v.copy_(layers_of(stored["weights"], "v"));
    cross->u.copy_(layers_of(stored["weights"], "w"));
    cross->bias.copy_(layers_of(stored["weights"], "b"));
  }
  copy_in(*mlp, stored["weights"], kMlp);
  const auto crossed = cross(x0);
  expect_near(crossed, tensor(stored["outputs"]["cross"]), kTolerance, "crossed");
  const auto logit = mlp(crossed).squeeze(1);
  expect_near(logit, tensor(stored["outputs"]["logit"]), kTolerance, "logit");
  at::binary_cross_entropy_with_logits(logit, tensor(stored["labels"])).backward();
  const Json& gradients = stored["gradients"];
  expect_near(cross->v.grad(), layers_of(gradients, "v"), kTolerance, "V");
  expect_near(cross->u.grad(), layers_of(gradients, "w"), kTolerance, "U");
  expect_near(cross->bias.grad(), layers_of(gradients, "b"), kTolerance, "b");
  expect_near(x0.grad(), tensor(gradients["x0"]), kTolerance, "x0");
}

/// Of two layers with two experts, [layers, experts, ..].
at::Tensor experts_of(const Json& values, const std::string& name) {
  return at::stack({layers_of(values, name + ".0"), layers_of(values, name + ".1")});
}

TEST(CrossMixture, EqualsItsDefinition) {
  const Json stored = testing::reference_json("zoo/dcnv2_mix.json");
  nn::CrossMixture cross(6, 2, 2, 2);
  auto output = nn::xavier_linear(6, 1);
  const auto x0 = tensor(stored["inputs"]["x0"]).requires_grad_();
  const auto u_of = [](const Json& values) { return experts_of(values, "U").transpose(1, 2); };
  const auto v_of = [](const Json& values) { return experts_of(values, "V").transpose(2, 3); };
  const auto gates_of = [](const Json& values) { return layers_of(values, "gate").squeeze(1); };
  {
    const at::NoGradGuard no_grad;
    cross->u.copy_(u_of(stored["weights"]));
    cross->v.copy_(v_of(stored["weights"]));
    cross->core.copy_(experts_of(stored["weights"], "C"));
    cross->bias.copy_(layers_of(stored["weights"], "b"));
    cross->gate.copy_(gates_of(stored["weights"]));
  }
  copy_in(*output, stored["weights"], {{"out.w", "weight"}, {"out.b", "bias"}});
  const auto crossed = cross(x0);
  expect_near(crossed, tensor(stored["outputs"]["cross"]), kTolerance, "crossed");
  const auto logit = output(crossed).squeeze(1);
  expect_near(logit, tensor(stored["outputs"]["logit"]), kTolerance, "logit");
  at::binary_cross_entropy_with_logits(logit, tensor(stored["labels"])).backward();
  const Json& gradients = stored["gradients"];
  expect_near(cross->u.grad(), u_of(gradients), kTolerance, "U");
  expect_near(cross->v.grad(), v_of(gradients), kTolerance, "V");
  expect_near(cross->core.grad(), experts_of(gradients, "C"), kTolerance, "C");
  expect_near(cross->bias.grad(), layers_of(gradients, "b"), kTolerance, "b");
  expect_near(cross->gate.grad(), gates_of(gradients), kTolerance, "gates");
  expect_near(x0.grad(), tensor(gradients["x0"]), kTolerance, "x0");
}

TEST(Interests, EqualTheirDefinition) {
  const Json stored = testing::reference_json("zoo/dien.json");
  const auto& in = stored["inputs"];
  const auto q = tensor(in["q"]).requires_grad_(), all = tensor(in["H"]).requires_grad_(),
             others = tensor(in["negatives"]).requires_grad_(), other = tensor(in["other"]).requires_grad_();
  const auto valid = tensor(in["mask"]).to(at::kBool);  // [B, T]
  const auto place = valid.flatten().nonzero().squeeze(1);
  const auto of = [&](const at::Tensor& x) { return x.flatten(0, 1).index_select(0, place); };
  const auto lengths = valid.sum(1);
  const nn::SequenceVectors history{of(all),
                                    at::arange(2, at::kLong).repeat_interleave(lengths),
                                    at::cat({at::zeros({1}, at::kLong), lengths.cumsum(0)}),
                                    {},
                                    {}};
  nn::Interests interests(2, 2);
  nn::NextEntry next(2, std::vector<int64_t>{3}, "sigmoid");
  nn::Mlp mlp(6, nn::MlpOptions{.hidden = {3}});
  const Names grus{
      {"gru.x.w", "gru.weight_ih_l0"},     {"gru.x.b", "gru.bias_ih_l0"},       {"gru.h.w", "gru.weight_hh_l0"},
      {"gru.h.b", "gru.bias_hh_l0"},       {"augru.x.w", "augru.input_weight"}, {"augru.x.b", "augru.input_bias"},
      {"augru.h.w", "augru.state_weight"}, {"augru.h.b", "augru.state_bias"},   {"bilinear", "attention"}},
      judge{{"aux.0.w", "mlp.linear0.weight"},
            {"aux.0.b", "mlp.linear0.bias"},
            {"aux.1.w", "mlp.output.weight"},
            {"aux.1.b", "mlp.output.bias"}};
  copy_in(*interests, stored["weights"], grus);
  copy_in(*next, stored["weights"], judge);
  copy_in(*mlp, stored["weights"], kMlp);
  const auto found = interests->forward(q, history);
  expect_near(found.entries, of(tensor(stored["outputs"]["states"])), kTolerance, "states");
  expect_near(found.attention, of(tensor(stored["outputs"]["attention"]).unsqueeze(2)).squeeze(1), kTolerance,
              "attention");
  expect_near(found.state, tensor(stored["outputs"]["final"]), kTolerance, "final");
  const auto pairs = next->forward(found.entries, history, of(others));
  EXPECT_EQ(pairs.rows.numel(), 2 * 3);  // two pairs of the first row, one of the second
  const auto auxiliary = pairs.value.mean();
  EXPECT_NEAR(auxiliary.item<double>(), stored["outputs"]["aux_loss"].get<double>(), kTolerance);
  const auto logit = mlp(at::cat({other, q, found.state}, 1)).squeeze(1);
  expect_near(logit, tensor(stored["outputs"]["logit"]), kTolerance, "logit");
  const auto loss = at::binary_cross_entropy_with_logits(logit, tensor(stored["labels"])) + 0.5 * auxiliary;
  EXPECT_NEAR(loss.item<double>(), stored["outputs"]["loss"].get<double>(), kTolerance);
  loss.backward();
  expect_gradients(*interests, stored["gradients"], grus);
  expect_gradients(*next, stored["gradients"], judge);
  expect_gradients(*mlp, stored["gradients"], kMlp);
  expect_near(q.grad(), tensor(stored["gradients"]["q"]), kTolerance, "q");
  expect_near(all.grad(), tensor(stored["gradients"]["H"]), kTolerance, "H");
  expect_near(others.grad(), tensor(stored["gradients"]["negatives"]), kTolerance, "negatives");
  expect_near(other.grad(), tensor(stored["gradients"]["other"]), kTolerance, "other");
}

}  // namespace
}  // namespace interplay::zoo_test
