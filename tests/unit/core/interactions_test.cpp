#include <interplay/core/interactions.h>

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <interplay/core/field_embedding.h>
#include <interplay/core/field_linear.h>
#include <interplay/core/model.h>
#include <interplay/nn/fm.h>
#include <interplay/optim/optimizer.h>

#include "support/error_of.h"
#include "support/toy_rows.h"

namespace interplay::interactions_test {
namespace {

using testing::config_error;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::make_field;

using Sets = std::vector<std::vector<std::string>>;

Schema schema() {
  return Schema({make_field("site", FieldKind::categorical, 5), make_field("app", FieldKind::categorical, 6),
                 make_field("hour", FieldKind::categorical, 7), make_field("age", FieldKind::numeric)},
                {"click"});
}

Features rows() {
  Features x;
  x.ids = at::tensor({1, 2, 3, 4, 5, 6, 2, 2, 1, 3, 1, 5}, at::kInt).view({4, 3});
  x.dense = at::tensor({1.f, -2.f, 0.5f, 3.f}).view({4, 1});
  return x;
}

/// Fields and their interactions, with vectors of a size that shows.
struct Parts {
  explicit Parts(const InteractionOptions& options)
      : fields(schema(), 4, 0.7), interactions(schema(), fields, options, 0.7) {}
  at::Tensor sum() { return interactions->sum(rows(), fields(rows())).detach(); }
  at::Tensor each() { return interactions->each(rows(), fields(rows())).detach(); }
  at::Tensor vectors() { return fields(rows()).tensor().detach(); }  // [4, 4, 4]
  FieldEmbedding fields;
  FieldInteractions interactions;
};

at::Tensor product(const at::Tensor& e, std::vector<int64_t> fields) {
  auto p = e.select(1, fields.front());
  for (size_t i = 1; i < fields.size(); ++i) p = p * e.select(1, fields[i]);
  return p.sum(1);
}

std::vector<std::string> names(const std::vector<Interaction>& list) {
  std::vector<std::string> out;
  for (const auto& i : list) out.push_back(fmt::format("{}", fmt::join(i.fields, " ")));
  return out;
}

TEST(FieldInteractions, AllPairsWithoutGatesAreTheClosedForm) {
  Parts parts({});
  EXPECT_TRUE(at::equal(parts.sum(), nn::fm(parts.fields(rows())).detach()));
  EXPECT_TRUE(parts.interactions->named_parameters().is_empty());
  EXPECT_THAT(names(parts.interactions->list()),
              ElementsAre("site app", "site hour", "site age", "app hour", "app age", "hour age"));
}

TEST(FieldInteractions, OrderThreeAddsTheTriples) {
  Parts parts({.order = 3});
  const auto e = parts.vectors();
  auto expected = at::zeros({4});
  for (const auto& pair : std::vector<std::vector<int64_t>>{{0, 1}, {0, 2}, {0, 3}, {1, 2}, {1, 3}, {2, 3}})
    expected += product(e, pair);
  for (const auto& triple : std::vector<std::vector<int64_t>>{{0, 1, 2}, {0, 1, 3}, {0, 2, 3}, {1, 2, 3}})
    expected += product(e, triple);
  EXPECT_TRUE(at::allclose(parts.sum(), expected, 1e-5, 1e-5));
  EXPECT_EQ(parts.interactions->count(), 10);
}

TEST(FieldInteractions, OnlyTheListedSetsAreMultipliedWhateverTheirOrder) {
  Parts parts({.interactions = Sets{{"age", "site", "hour"}, {"hour", "app"}, {"site", "app"}}});
  const auto e = parts.vectors();
  const auto expected = at::stack({product(e, {0, 1}), product(e, {1, 2}), product(e, {0, 2, 3})}, 1);
  EXPECT_TRUE(at::allclose(parts.each(), expected, 1e-5, 1e-5));
  EXPECT_TRUE(at::allclose(parts.sum(), expected.sum(1), 1e-5, 1e-5));
  EXPECT_THAT(names(parts.interactions->list()), ElementsAre("site app", "app hour", "site hour age"));
}

TEST(FieldInteractions, AnEmptyListAddsNothing) {
  for (const bool gates : {false, true}) {
    Parts parts({.gates = gates, .interactions = Sets{}});
    EXPECT_TRUE(at::equal(parts.sum(), at::zeros({4})));
    EXPECT_EQ(parts.each().sizes(), at::IntArrayRef({4, 0}));
    EXPECT_EQ(parts.interactions->count(), 0);
  }
}

TEST(FieldInteractions, GatesMultiplyTheNormalisedProducts) {
  Parts parts({.gates = true, .gate_start = 2, .gate_spread = 0});
  parts.interactions->eval();  // running statistics are 0 and 1
  const auto e = parts.vectors();
  const auto z = at::stack({product(e, {0, 1}), product(e, {0, 2}), product(e, {0, 3}), product(e, {1, 2}),
                            product(e, {1, 3}), product(e, {2, 3})},
                           1);
  EXPECT_TRUE(at::allclose(parts.each(), 2 * z / std::sqrt(1 + 1e-3), 1e-5, 1e-5));
  Parts plain({.gates = true, .gate_norm = false, .gate_start = 2, .gate_spread = 0});
  const auto fresh = plain.vectors();
  EXPECT_TRUE(at::allclose(plain.sum(), 2 * nn::fm(nn::FieldVectors(fresh)), 1e-4, 1e-4));
}

TEST(FieldInteractions, OfCentredVectorsSayNothingOfASingleField) {
  Parts parts({.gates = true, .gate_norm = false, .gate_centre = true, .gate_start = 1, .gate_spread = 0});
  const auto e = parts.vectors();
  const auto centred = e - e.mean(0, true);
  EXPECT_TRUE(at::allclose(parts.sum(), nn::fm(nn::FieldVectors(centred)), 1e-4, 1e-5));
  parts.interactions->eval();  // by the running mean: 1% of the batch's
  EXPECT_TRUE(at::allclose(parts.sum(), nn::fm(nn::FieldVectors(e - 0.01 * e.mean(0, true))), 1e-4, 1e-5));
}

TEST(FieldInteractions, ListTellsGatesAndWhichAreKept) {
  Parts parts({.gates = true, .interactions = Sets{{"site", "app"}, {"app", "hour"}, {"site", "age"}}});
  {
    const at::NoGradGuard no_grad;
    parts.interactions->named_parameters()["order2.gate"].copy_(at::tensor({0.5f, 0.f, -0.25f}));
  }
  const auto list = interactions_of(*parts.interactions);
  ASSERT_EQ(list.size(), 3);
  EXPECT_THAT(names(list), ElementsAre("site app", "site age", "app hour"));
  EXPECT_EQ(list[0].gate, 0.5);
  EXPECT_EQ(list[2].gate, -0.25);
  EXPECT_TRUE(list[0].kept);
  EXPECT_FALSE(list[1].kept);
  EXPECT_TRUE(list[2].kept);
}

TEST(FieldInteractions, SeparateTablesServeTheThirdOrderAlone) {
  Parts parts({.order = 3, .third_order = "separate"});
  const auto tables = nn::tables_of(*parts.interactions);
  EXPECT_EQ(tables.size(), 3);
  for (const auto& t : tables) t.table->weight().zero_();
  const at::NoGradGuard no_grad;
  parts.interactions->named_parameters()["fields.numeric"].zero_();
  EXPECT_TRUE(at::allclose(parts.sum(), nn::fm(parts.fields(rows())), 1e-5, 1e-6));
  EXPECT_TRUE(nn::tables_of(*Parts({.order = 2, .third_order = "separate"}).interactions).empty());
}

TEST(FieldInteractions, RefuseListsThatMeanNothing) {
  const auto error = [](Sets sets) { return config_error([&] { Parts parts({.interactions = std::move(sets)}); }); };
  EXPECT_THAT(error({{"site", "ap"}}), HasSubstr("there is no field 'ap'; did you mean 'app'?"));
  EXPECT_THAT(error({{"site"}}), HasSubstr("[site] has 1 field; expected 2 to 4"));
  EXPECT_THAT(error({{}}), HasSubstr("has 0 fields"));
  EXPECT_THAT(error({{"site", "app", "hour", "age", "site"}}), HasSubstr("has 5 fields"));
  EXPECT_THAT(error({{"site", "site"}}), HasSubstr("names a field twice"));
  EXPECT_THAT(error({{"site", "app"}, {"app", "site"}}), HasSubstr("[app, site] is listed twice"));
}

TEST(Aim, ProductsKeepTheScaleOfDimensionGatesWhereBothKindsAreSearched) {
  const auto model =
      make_model(Config::parse("{name: aim, embedding_dim: 4, init_std: 0.7, gates: true, dimension_gates: true, "
                               "interactions: [[site, app]]}"),
                 schema());
  auto weights = model->named_parameters();
  EXPECT_FALSE(model->named_buffers().contains("order2_inner.gates.running_mean"));
  const auto product = [&](double gate) {  // those of site's numbers, app's staying where they are
    const at::NoGradGuard no_grad;
    weights["order2_inner.dimension_gates.gate"].narrow(0, 0, 4).fill_(gate);
    return model->forward(rows()).logit;
  };
  const auto linear = product(0);
  EXPECT_FALSE(at::allclose(product(1), linear, 1e-3, 1e-4));
  EXPECT_TRUE(at::allclose(product(3) - linear, 3 * (product(1) - linear), 1e-4, 1e-5));  // a norm would keep it at 1
}

TEST(Aim, OrdersThatAreNotSearchedKeepTheirNormAndMoveWithAllElse) {
  const auto model =
      make_model(Config::parse("{name: aim, embedding_dim: 4, init_std: 0.7, gates: true, dimension_gates: true, "
                               "searched_order: 3, interactions: [[site, app], [site, app, hour]]}"),
                 schema());
  EXPECT_TRUE(model->named_buffers().contains("order2_inner.gates.running_mean"));
  const auto gates = dimension_gates_of(*model);
  ASSERT_EQ(gates.size(), 1u);
  EXPECT_EQ(gates[0].order, 3);
  Optimizer parameters(*model, Config::parse("{gates: {name: grda, lr: 1, c: 1e6, mu: 0.8}, "
                                             "dimension_gates: {name: grda, lr: 1, c: 1e6, mu: 0.8}}"));
  model->forward(rows()).logit.square().sum().backward();
  parameters.step({});  // a threshold that closes every gate of the two groups
  const auto list = interactions_of(*model);
  EXPECT_TRUE(list[0].kept);
  EXPECT_FALSE(list[1].kept);
  EXPECT_EQ(dimension_gates_of(*model)[0].gate.count_nonzero().item<int64_t>(), 0);
}

class Searchable : public ::testing::TestWithParam<std::string> {};

TEST_P(Searchable, GatesAreAGroupOfTheirOwn) {
  auto config = Config::parse("{embedding_dim: 4, gates: true, order: 3}");
  config.set("name", Config::scalar(GetParam(), true));
  if (GetParam() != "fm") config.set("hidden", Config::parse("[4]"));
  const auto model = make_model(config, schema());
  EXPECT_EQ(interactions_of(*model).size(), 6 + 4);
  Optimizer parameters(*model, Config::parse("{gates: {name: grda, lr: 1, c: 1e6, mu: 0.8}, dense: {lr: 0}}"));
  model->forward(rows()).logit.square().sum().backward();
  parameters.step({});  // a threshold that closes every gate
  for (const auto& i : interactions_of(*model)) EXPECT_FALSE(i.kept);
  EXPECT_FALSE(model->forward(rows()).logit.isnan().any().item<bool>());
}

TEST_P(Searchable, PrunedModelsTakeTheListFromTheirConfig) {
  auto config = Config::parse("{embedding_dim: 4, gates: true, interactions: [[site, app], [app, hour, age]]}");
  config.set("name", Config::scalar(GetParam(), true));
  const auto model = make_model(config, schema());
  EXPECT_THAT(names(interactions_of(*model)), ElementsAre("site app", "app hour age"));
  const Config resolved = models().resolve(config);
  EXPECT_EQ(resolved["interactions"].at(1).at(2).as<std::string>(), "age");
  EXPECT_TRUE(interactions_of(*make_model(Config::parse("{name: lr}"), schema())).empty());
}

/// An option of that name is not enough: here it is the number of gates of something else.
class NamesAnOptionGates final : public Model {
 public:
  struct Options {
    std::vector<int64_t> gates = {64};
    void visit(auto&& field) { field("gates", gates, "widths of the hidden layers of gates"); }
  };
  NamesAnOptionGates(const Schema& schema, const Options&) : linear_(register_module("linear", FieldLinear(schema))) {}
  Output forward(const Features& x) override { return linear_(x); }

 private:
  FieldLinear linear_;
};
INTERPLAY_REGISTER_MODEL("names_an_option_gates", NamesAnOptionGates, "for this test");

TEST(SearchableModels, AreThoseThatSaySo) {
  EXPECT_THAT(searchable_models(), ElementsAre("aim", "deepfm", "fm", "ipnn"));
}

INSTANTIATE_TEST_SUITE_P(Models, Searchable, ::testing::Values("fm", "deepfm", "ipnn"),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace interplay::interactions_test
