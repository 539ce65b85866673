#include "serve/scoring_plan.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/nn/modules/batchnorm.h>

#include <interplay/data/encoded_batch.h>
#include <interplay/model.h>

#include "support/toy_rows.h"

namespace interplay::scoring_plan_test {
namespace {

using ::testing::HasSubstr;
using testing::make_field;

/// Five categorical fields (one shares its table with another) and two numbers: ids columns 0 to 4, dense 0 and 1.
Schema plain_schema() {
  return Schema({make_field("user", FieldKind::categorical, 50), make_field("age", FieldKind::numeric),
                 make_field("item", FieldKind::categorical, 70), make_field("city", FieldKind::categorical, 3),
                 make_field("price", FieldKind::numeric), make_field("shop", FieldKind::categorical, 20),
                 make_field("last_shop", FieldKind::categorical, 20, "shop")},
                {"click"});
}

/// Weights large enough to show every mistake, and running statistics as after training.
std::shared_ptr<Model> model_of(const std::string& config, const Schema& schema) {
  auto model = make_model(Config::parse(config), schema, 1);
  at::manual_seed(7);
  const at::NoGradGuard no_grad;
  for (const auto& table : nn::tables_of(*model)) table.table->weight().normal_(0, 0.3);
  for (auto& p : model->parameters())
    if (p.dim() < 2) p.add_(at::randn_like(p), 0.2);
  for (auto& b : model->buffers()) {
    if (b.is_floating_point()) b.add_(at::rand_like(b));
  }
  model->eval();
  return model;
}

struct Rows {
  EncodedBatch batch;
  explicit Rows(const Schema& schema, int64_t rows, const std::vector<bool>& user_ids,
                const std::vector<bool>& user_dense) {
    at::manual_seed(rows);
    batch.rows = rows;
    const auto fields = schema.of(FieldKind::categorical);
    for (int64_t r = 0; r < rows; ++r) {
      for (size_t f = 0; f < fields.size(); ++f) {
        const auto id = int32_t(at::randint(fields[f]->rows, {1}).item<int64_t>());
        batch.ids.push_back(r > 0 && user_ids[f] ? batch.ids[f] : id);
      }
      for (size_t d = 0; d < user_dense.size(); ++d) {
        const auto x = at::randn({1}).item<float>();
        batch.dense.push_back(r > 0 && user_dense[d] ? batch.dense[d] : x);
      }
    }
  }
};

/// What the plan gives beside what the model gives; the user's cells are read from the first row alone.
void expect_equal(Model& model, const Schema& schema, const std::shared_ptr<const ForwardGraph>& graph,
                  const std::vector<bool>& user_ids, const std::vector<bool>& user_dense) {
  const ScoringPlan plan(graph, user_ids, user_dense);
  auto workspace = plan.workspace();
  for (const int64_t rows : {1, 2, 13, 300}) {  // 300: more than are worked on at once
    const EncodedBatch batch = Rows(schema, rows, user_ids, user_dense).batch;
    const at::NoGradGuard no_grad;
    const auto expected = model.forward(to_features(batch, schema)).logit;
    auto own = batch;  // the user's columns of the rows are never read
    const size_t F = user_ids.size(), D = user_dense.size();
    for (size_t i = 0; i < own.ids.size(); ++i) own.ids[i] = user_ids[i % F] ? 1 << 30 : own.ids[i];
    for (size_t i = 0; i < own.dense.size(); ++i) own.dense[i] = user_dense[i % D] ? NAN : own.dense[i];
    std::vector<float> found(size_t(rows * plan.labels()));
    plan.run({batch.ids.data(), batch.dense.data(), own.ids.data(), own.dense.data(), rows}, workspace, found.data());
    ASSERT_EQ(int64_t(found.size()), expected.numel());
    const auto flat = expected.contiguous();
    for (size_t i = 0; i < found.size(); ++i) {
      const float value = flat.const_data_ptr<float>()[i];
      EXPECT_NEAR(found[i], value, 2e-6 * (1 + std::abs(value))) << "row " << i << " of " << rows;
    }
  }
}

class ScoringPlanOf : public ::testing::TestWithParam<const char*> {};

TEST_P(ScoringPlanOf, GivesWhatTheModelGives) {
  const Schema schema = plain_schema();
  const auto model = model_of(GetParam(), schema);
  std::string why;
  auto recorded = ForwardGraph::record(
      *model, to_features(Rows(schema, 5, std::vector<bool>(5), {false, false}).batch, schema), why);
  ASSERT_TRUE(recorded.has_value()) << why;
  const auto graph = std::make_shared<const ForwardGraph>(std::move(*recorded));
  expect_equal(*model, schema, graph, {false, false, false, false, false}, {false, false});
  expect_equal(*model, schema, graph, {true, false, true, false, false}, {true, false});
  expect_equal(*model, schema, graph, {false, true, true, true, true}, {true, true});
  expect_equal(*model, schema, graph, {true, true, true, true, true}, {false, true});
  expect_equal(*model, schema, graph, {true, true, true, true, true}, {true, true});
}

INSTANTIATE_TEST_SUITE_P(
    Models, ScoringPlanOf,
    ::testing::Values("{name: lr}", "{name: fm, embedding_dim: 8}", "{name: dnn, embedding_dim: 5, hidden: [17, 9]}",
                      "{name: wide_deep, hidden: [20]}", "{name: deepfm, hidden: [33, 16], norm: batch}",
                      "{name: deepfm, hidden: [12], norm: layer, activation: sigmoid}",
                      "{name: deepfm, hidden: [12, 8], activation: prelu, dropout: 0.5}",
                      "{name: deepfm, hidden: [12], activation: dice}", "{name: dnn, hidden: [12], activation: gelu}",
                      "{name: dnn, hidden: [12], activation: silu}", "{name: dnn, hidden: [12], activation: tanh}",
                      "{name: dnn, hidden: [12], activation: leaky_relu}", "{name: dnn, hidden: []}",
                      "{name: dcnv2, embedding_dim: 4, hidden: [10]}",
                      "{name: dcnv2, embedding_dim: 4, hidden: [10], structure: stacked}",
                      "{name: dcnv2, embedding_dim: 4, hidden: [10], structure: stacked_parallel}",
                      "{name: dcnv2, embedding_dim: 4, structure: crossnet_only}"));

TEST(ScoringPlan, ReluOfMinusInfinityIsZero) {
  const Schema schema = plain_schema();
  const auto model = model_of("{name: dnn, hidden: [12], norm: layer}", schema);
  {
    const at::NoGradGuard no_grad;
    weights_of(*model).at("mlp.norm0.bias")[3] = -INFINITY;
  }
  std::string why;
  auto recorded = ForwardGraph::record(
      *model, to_features(Rows(schema, 5, std::vector<bool>(5), {false, false}).batch, schema), why);
  ASSERT_TRUE(recorded.has_value()) << why;
  expect_equal(*model, schema, std::make_shared<const ForwardGraph>(std::move(*recorded)), std::vector<bool>(5),
               {false, false});
}

TEST(ForwardGraph, SaysWhatItDoesNotKnow) {
  std::string why;
  const Schema plain = plain_schema();
  const auto attention = model_of("{name: autoint}", plain);
  const auto probe = to_features(Rows(plain, 5, std::vector<bool>(5), {false, false}).batch, plain);
  EXPECT_FALSE(ForwardGraph::record(*attention, probe, why).has_value());
  EXPECT_THAT(why, HasSubstr("aten::"));

  std::vector<Field> many;
  for (int f = 0; f < 20; ++f) many.push_back(make_field("f" + std::to_string(f), FieldKind::categorical, 4));
  const Schema wide(many, {"click"});
  const auto pairs = model_of("{name: ffm}", wide);
  const auto rows = to_features(Rows(wide, 5, std::vector<bool>(20), {}).batch, wide);
  EXPECT_FALSE(ForwardGraph::record(*pairs, rows, why).has_value());
  EXPECT_THAT(why, HasSubstr(" pieces"));

  const Schema toy = testing::toy_schema();
  const auto pooled = model_of("{name: fm}", Schema(toy.fields(), {"click"}));
  EXPECT_FALSE(ForwardGraph::record(*pooled, to_features(testing::toy_rows(0, 5), toy), why).has_value());
  EXPECT_THAT(why, HasSubstr("sequence"));
}

/// A model that computes outside LibTorch what no watcher can see.
class Hidden final : public Model {
 public:
  explicit Hidden(const Schema& schema) : linear_(register_module("linear", FieldLinear(schema))) {}
  Output forward(const Features& x) override {
    auto logit = linear_(x);
    for (int64_t b = 0; b < logit.size(0); ++b) logit.data_ptr<float>()[b] += float(x.ids.data_ptr<int32_t>()[5 * b]);
    return logit;
  }

 private:
  FieldLinear linear_;
};

/// What such a model computes is told by comparing, which Scorer does when it loads one.
TEST(ForwardGraph, CannotSeeWhatIsNoCall) {
  const Schema schema = plain_schema();
  Hidden model(schema);
  model.eval();
  std::string why;
  const EncodedBatch rows = Rows(schema, 5, std::vector<bool>(5), {false, false}).batch;
  auto recorded = ForwardGraph::record(model, to_features(rows, schema), why);
  ASSERT_TRUE(recorded.has_value()) << why;
  const ScoringPlan plan(std::make_shared<const ForwardGraph>(std::move(*recorded)), std::vector<bool>(5),
                         {false, false});
  auto workspace = plan.workspace();
  std::vector<float> found(5);
  plan.run({nullptr, nullptr, rows.ids.data(), rows.dense.data(), 5}, workspace, found.data());
  const at::NoGradGuard no_grad;
  const auto expected = model.forward(to_features(rows, schema)).logit;
  EXPECT_GT((at::tensor(found) - expected).abs().max().item<float>(), 0.5f);
}

}  // namespace
}  // namespace interplay::scoring_plan_test
