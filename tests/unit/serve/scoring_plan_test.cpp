#include "serve/scoring_plan.h"

#include <cmath>
#include <tuple>

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/nn/modules/batchnorm.h>

#include <interplay/data/encoded_batch.h>
#include <interplay/model.h>

#include "serve/fast_exp.h"
#include "support/toy_rows.h"

namespace interplay::scoring_plan_test {
namespace {

using ::testing::HasSubstr;
using testing::make_field;

/// Five categorical fields (one shares its table with another) and two numbers: ids columns 0 to 4, dense 0 and 1.
std::vector<Field> plain_fields() {
  return {make_field("user", FieldKind::categorical, 50),
          make_field("age", FieldKind::numeric),
          make_field("item", FieldKind::categorical, 70),
          make_field("city", FieldKind::categorical, 3),
          make_field("price", FieldKind::numeric),
          make_field("shop", FieldKind::categorical, 20),
          make_field("last_shop", FieldKind::categorical, 20, "shop")};
}
Schema plain_schema() { return Schema(plain_fields(), {"click"}); }

/// And a history of items with ratings beside them, a weighted sequence, and a vector.
Schema sequence_schema() {
  auto fields = plain_fields();
  Field history = make_field("past", FieldKind::sequence, 70, "item");
  history.target = "item";
  history.max_length = 400;
  Field ratings = make_field("past_ratings", FieldKind::sequence, 6);
  ratings.paired_with = "past";
  Field tags = make_field("tags", FieldKind::sequence, 9);
  tags.weighted = true;
  Field image = make_field("image", FieldKind::vector);
  image.dimension = 3;
  for (Field& f : std::vector{history, ratings, tags, image}) fields.push_back(f);
  return Schema(fields, {"click"});
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

UserColumns nobodys(const Schema& schema) {
  const auto none = [&](FieldKind kind) { return std::vector<bool>(size_t(schema.count(kind))); };
  return {none(FieldKind::categorical), none(FieldKind::numeric), none(FieldKind::sequence), none(FieldKind::vector)};
}

/// Rows drawn at random; what is the user's is in all of them as in the first one. Histories have 0 to 5 entries, now
/// and then 300 (more than are worked on at once), of few items, so that scores of entries are often equal.
EncodedBatch draw(const Schema& schema, int64_t rows, const UserColumns& user, int64_t seed = 1) {
  at::manual_seed(uint64_t(1000 * seed + rows));
  const auto below = [](int64_t n) { return int32_t(at::randint(n, {1}).item<int64_t>()); };
  EncodedBatch batch;
  batch.rows = rows;
  const auto fields = schema.of(FieldKind::categorical);
  for (int64_t r = 0; r < rows; ++r) {
    for (size_t f = 0; f < fields.size(); ++f) {
      const auto id = below(fields[f]->rows);
      batch.ids.push_back(r > 0 && user.ids[f] ? batch.ids[f] : id);
    }
    for (size_t d = 0; d < user.dense.size(); ++d) {
      const auto x = at::randn({1}).item<float>();
      batch.dense.push_back(r > 0 && user.dense[d] ? batch.dense[d] : x);
    }
  }
  for (const Field* f : schema.of(FieldKind::sequence)) {
    auto& s = batch.sequences.emplace_back();
    s.offsets = {0};
    const auto pair = f->paired_with.empty() ? nullptr : &batch.sequences[size_t(schema.field(f->paired_with).column)];
    for (int64_t r = 0; r < rows; ++r) {
      const bool repeated = r > 0 && user.sequences[size_t(f->column)];
      int64_t length = rows > 2 && below(20) == 7 ? 300 : below(6);
      if (rows <= 2) length = 1 + below(4);
      if (pair) length = pair->offsets[size_t(r) + 1] - pair->offsets[size_t(r)];
      if (repeated) length = s.offsets[1];
      for (int64_t e = 0; e < length; ++e) {
        s.ids.push_back(repeated ? s.ids[size_t(e)] : 1 + below(std::min<int64_t>(12, f->rows - 1)));
        if (f->weighted) s.weights.push_back(repeated ? s.weights[size_t(e)] : at::rand({1}).item<float>());
      }
      s.offsets.push_back(int64_t(s.ids.size()));
    }
  }
  for (const Field* f : schema.of(FieldKind::vector)) {
    auto& v = batch.vectors.emplace_back();
    for (int64_t i = 0; i < rows * f->dimension; ++i) {
      const bool repeated = i >= f->dimension && user.vectors[size_t(f->column)];
      v.push_back(repeated ? v[size_t(i % f->dimension)] : at::randn({1}).item<float>());
    }
  }
  return batch;
}

std::vector<float> run(const ScoringPlan& plan, ScoringPlan::Workspace& workspace, const EncodedBatch& user,
                       const EncodedBatch& rows) {
  const auto sequences = [](const EncodedBatch& of) {
    std::vector<ScoringPlan::Sequence> out;
    for (const auto& s : of.sequences) out.push_back({s.ids.data(), s.offsets.data(), s.weights.data()});
    return out;
  };
  const auto of_user = sequences(user), of_rows = sequences(rows);
  const std::vector<std::span<const float>> user_vectors(user.vectors.begin(), user.vectors.end()),
      vectors(rows.vectors.begin(), rows.vectors.end());
  std::vector<float> found(size_t(rows.rows * plan.labels()));
  plan.run({user.ids.data(), user.dense.data(), rows.ids.data(), rows.dense.data(), rows.rows, of_user, of_rows,
            user_vectors, vectors},
           workspace, found.data());
  return found;
}

/// What the plan gives beside what the model gives; the user's cells are read from the first row alone.
void expect_equal(Model& model, const Schema& schema, const std::shared_ptr<const ForwardGraph>& graph,
                  const UserColumns& user, double tolerance = 2e-6) {
  const ScoringPlan plan(graph, user);
  auto workspace = plan.workspace();
  for (const int64_t rows : {1, 2, 13, 300}) {  // 300: more than are worked on at once
    const EncodedBatch batch = draw(schema, rows, user);
    const at::NoGradGuard no_grad;
    const auto expected = model.forward(to_features(batch, schema)).logit;
    auto own = batch;  // the user's columns of the rows are never read
    const size_t F = user.ids.size(), D = user.dense.size();
    for (size_t i = 0; i < own.ids.size(); ++i) own.ids[i] = user.ids[i % F] ? 1 << 30 : own.ids[i];
    for (size_t i = 0; i < own.dense.size(); ++i) own.dense[i] = user.dense[i % D] ? NAN : own.dense[i];
    for (size_t s = 0; s < user.sequences.size(); ++s)
      if (user.sequences[s]) own.sequences[s] = {};
    for (size_t v = 0; v < user.vectors.size(); ++v)
      if (user.vectors[v]) own.vectors[v] = {};
    const auto found = run(plan, workspace, batch, own);
    ASSERT_EQ(int64_t(found.size()), expected.numel());
    const auto flat = expected.contiguous();
    for (size_t i = 0; i < found.size(); ++i) {
      const float value = flat.const_data_ptr<float>()[i];
      ASSERT_NEAR(found[i], value, tolerance * (1 + std::abs(value))) << "row " << i << " of " << rows;
    }
  }
}

std::shared_ptr<const ForwardGraph> recorded(Model& model, const Schema& schema) {
  std::string why;
  auto graph = ForwardGraph::record(model, to_features(draw(schema, 5, nobodys(schema)), schema), why);
  EXPECT_TRUE(graph.has_value()) << why;
  return graph ? std::make_shared<const ForwardGraph>(std::move(*graph)) : nullptr;
}

class ScoringPlanOf : public ::testing::TestWithParam<const char*> {};

TEST_P(ScoringPlanOf, GivesWhatTheModelGives) {
  const Schema schema = plain_schema();
  const auto model = model_of(GetParam(), schema);
  const auto graph = recorded(*model, schema);
  ASSERT_TRUE(graph);
  expect_equal(*model, schema, graph, {{false, false, false, false, false}, {false, false}, {}, {}});
  expect_equal(*model, schema, graph, {{true, false, true, false, false}, {true, false}, {}, {}});
  expect_equal(*model, schema, graph, {{false, true, true, true, true}, {true, true}, {}, {}});
  expect_equal(*model, schema, graph, {{true, true, true, true, true}, {false, true}, {}, {}});
  expect_equal(*model, schema, graph, {{true, true, true, true, true}, {true, true}, {}, {}});
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
                      "{name: dcnv2, embedding_dim: 4, structure: crossnet_only}", "{name: ffm, embedding_dim: 3}",
                      "{name: ffm, embedding_dim: 4}", "{name: ffm, embedding_dim: 16}",
                      "{name: autoint, attention_layers: 2, attention_dim: 12, heads: 2}",
                      "{name: autoint, attention_layers: 1, attention_dim: 32, layer_norm: true, wide: true}",
                      "{name: autoint, attention_dim: 10, heads: 1, residual: false, scale: true, hidden: [7]}",
                      "{name: aim, embedding_dim: 5}", "{name: aim, order: 3, functions: [inner, vector_kernel]}",
                      "{name: aim, order: 4, functions: [number_kernel, outer], hidden: [8]}",
                      "{name: aim, gates: false, functions: [inner, outer], gate_centre: true}"));

using Answer = std::tuple<const char*, int>;

/// Of models that read sequences, with different columns of the user.
class ScoringPlanOfSequences : public ::testing::TestWithParam<Answer> {};

TEST_P(ScoringPlanOfSequences, GivesWhatTheModelGives) {
  const auto& [config, who] = GetParam();
  const Schema schema = sequence_schema();
  const auto model = model_of(config, schema);
  const auto graph = recorded(*model, schema);
  ASSERT_TRUE(graph);
  UserColumns user = nobodys(schema);
  if (who > 0) user.ids[0] = user.dense[0] = user.sequences[0] = user.sequences[1] = true;
  if (who > 1) user.sequences[2] = user.vectors[0] = true;
  if (who > 2) user = {{false, true, false, false, false}, {false, false}, {false, false, true}, {false}};  // the item
  if (who > 3) user = {{true, true, true, true, true}, {true, false}, {true, true, true}, {true}};
  expect_equal(*model, schema, graph, user, 1e-5);  // of sums over 300 entries
}

INSTANTIATE_TEST_SUITE_P(
    Models, ScoringPlanOfSequences,
    ::testing::Combine(
        ::testing::Values("{name: fm, embedding_dim: 8}", "{name: deepfm, hidden: [33, 16]}",
                          "{name: din, hidden: [20, 9]}", "{name: din, softmax: true, attention_activation: relu}",
                          "{name: din, map_entries: true, attention_hidden: [12], attention_activation: sigmoid}",
                          "{name: sim, hidden: [20]}", "{name: sim, top_k: 3, short_length: 2, heads: 4}",
                          "{name: sim, top_k: 2, short_length: 0, attention: din}"),
        ::testing::Range(0, 5)));

TEST(ScoringPlan, ReluOfMinusInfinityIsZero) {
  const Schema schema = plain_schema();
  const auto model = model_of("{name: dnn, hidden: [12], norm: layer}", schema);
  {
    const at::NoGradGuard no_grad;
    weights_of(*model).at("mlp.norm0.bias")[3] = -INFINITY;
  }
  const auto graph = recorded(*model, schema);
  ASSERT_TRUE(graph);
  expect_equal(*model, schema, graph, nobodys(schema));
}

TEST(ForwardGraph, SaysWhatItDoesNotKnow) {
  std::string why;
  const Schema schema = sequence_schema();
  const auto recurrent = model_of("{name: dien}", schema);
  const auto probe = to_features(draw(schema, 5, nobodys(schema)), schema);
  EXPECT_FALSE(ForwardGraph::record(*recurrent, probe, why).has_value());
  EXPECT_THAT(why, HasSubstr("has no step"));
  const auto padded = model_of("{name: din, pad_history: true}", schema);
  EXPECT_FALSE(ForwardGraph::record(*padded, probe, why).has_value());
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
  const auto graph = recorded(model, schema);
  const ScoringPlan plan(graph, nobodys(schema));
  auto workspace = plan.workspace();
  const EncodedBatch rows = draw(schema, 5, nobodys(schema));
  const auto found = run(plan, workspace, rows, rows);
  const at::NoGradGuard no_grad;
  const auto expected = model.forward(to_features(rows, schema)).logit;
  EXPECT_GT((at::tensor(found) - expected).abs().max().item<float>(), 0.5f);
}

TEST(FastExp, IsTheExponential) {
  const FastExp exp;
  for (double x = -86; x < 87; x += 0.01) ASSERT_NEAR(exp(float(x)) / std::exp(float(x)), 1, 3e-7) << x;
  EXPECT_LT(exp.sigmoid(-INFINITY), 1e-37);
  EXPECT_EQ(exp.sigmoid(INFINITY), 1.f);
  EXPECT_TRUE(std::isnan(exp(NAN)));
}

}  // namespace
}  // namespace interplay::scoring_plan_test
