// Models against values that were computed from their definitions in float64: logits, loss, and the gradient of the
// loss by every weight and by the input.
#include <regex>

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <interplay/core/objective.h>
#include <interplay/nn/embedding.h>
#include <interplay/nn/sampled_softmax.h>
#include <interplay/nn/table_storage.h>

#include "support/stored.h"
#include "support/toy_rows.h"

namespace interplay {
namespace {

using testing::expect_near;
using Json = nlohmann::ordered_json;

constexpr double kTolerance = 3e-6;  // of float32, as a share of the value or of 1

at::Tensor tensor(const Json& values) {
  std::vector<int64_t> shape;
  std::vector<float> flat;
  for (const Json* at = &values; at->is_array(); at = &at->front()) shape.push_back(int64_t(at->size()));
  const std::function<void(const Json&)> add = [&](const Json& v) {
    if (!v.is_array()) return flat.push_back(v.get<float>());
    for (const auto& item : v) add(item);
  };
  add(values);
  return at::tensor(flat).view(shape);
}

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

}  // namespace
}  // namespace interplay
