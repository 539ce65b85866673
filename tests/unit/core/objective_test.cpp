#include <interplay/core/objective.h>

#include <cmath>

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/error_of.h"

namespace interplay::objective_test {
namespace {

using testing::config_error;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

const float kNone = std::nanf("");

double bce(double z, double y) { return std::log1p(std::exp(-std::abs(z))) + std::max(z, 0.0) - z * y; }

/// Three rows with two labels, `buy` only where there was a click.
Batch batch(const at::Tensor& weight = {}) {
  Batch b;
  b.features.rows = 3;
  b.labels = at::tensor({1.f, 0.f, 1.f, 1.f, 0.f, kNone}).view({3, 2});
  b.weight = weight;
  return b;
}

at::Tensor logits() { return at::tensor({0.5f, -1.f, 2.f, 0.f, -0.5f, 3.f}).view({3, 2}).set_requires_grad(true); }

std::vector<std::string> names(const Objective::Value& value) {
  std::vector<std::string> out;
  for (const auto& part : value.parts) out.push_back(part.name);
  return out;
}

Objective both(const std::string& loss, std::map<std::string, double> scales = {}) {
  return Objective(Objective::resolve(Config::parse(loss)), std::move(scales), {"click", "buy"});
}

const double kClick = (bce(0.5, 1) + bce(2, 1) + bce(-0.5, 0)) / 3, kBuy = (bce(-1, 0) + bce(0, 1)) / 2;

TEST(Objective, SumsTheLossesOfLabelsAndLeavesMissingOnesOut) {
  const auto z = logits();
  const auto value = both("bce")(Output(z), batch());
  EXPECT_NEAR(value.total.item<double>(), kClick + kBuy, 1e-6);
  EXPECT_THAT(names(value), ElementsAre("click", "buy"));
  EXPECT_NEAR(value.parts[1].value.item<double>(), kBuy, 1e-6);
  value.total.backward();
  EXPECT_EQ(z.grad()[2][1].item<float>(), 0);  // no label, no gradient
  EXPECT_TRUE(at::isfinite(z.grad()).all().item<bool>());
}

TEST(Objective, GivesEachLabelItsLossAndWeight) {
  const auto value = both("{click: {name: mse, weight: 2}, buy: {name: bce, weight: 0.5}}")(Output(logits()), batch());
  const auto p = [](double z) { return 1 / (1 + std::exp(-z)); };
  const double click = (std::pow(p(0.5) - 1, 2) + std::pow(p(2) - 1, 2) + std::pow(p(-0.5), 2)) / 3;
  EXPECT_NEAR(value.total.item<double>(), 2 * click + 0.5 * kBuy, 1e-6);
}

TEST(Objective, RowWeightsAndMissingLabelsTogether) {
  const auto value = both("bce")(Output(logits()), batch(at::tensor({1.f, 3.f, 5.f})));
  EXPECT_NEAR(value.parts[1].value.item<double>(), (bce(-1, 0) + 3 * bce(0, 1)) / 4, 1e-6);
}

TEST(Objective, NoRowWithALabelIsNoLoss) {
  Batch b = batch();
  b.labels.select(1, 1).fill_(kNone);
  const auto z = logits();
  const auto value = both("bce")(Output(z), b);
  EXPECT_NEAR(value.total.item<double>(), kClick, 1e-6);
  value.total.backward();
  EXPECT_TRUE(at::equal(z.grad().select(1, 1), at::zeros({3})));
}

TEST(Objective, TermsAreLogitsTargetsOrValues) {
  Output out(logits());
  out.terms.push_back({.name = "of_click", .logit = at::tensor({1.f, 1.f, 1.f}), .label = "click", .scale = 2});
  out.terms.push_back({.name = "of_buy", .logit = at::tensor({1.f, 2.f, 9.f}), .label = "buy"});
  out.terms.push_back({.name = "soft", .logit = at::tensor({0.f, 1.f, 2.f}), .target = at::tensor({0.25f, 0.5f, 1.f})});
  out.terms.push_back({.name = "rows", .value = at::tensor({1.f, 2.f, 6.f})});
  out.terms.push_back({.name = "clicked_rows", .label = "click", .value = at::tensor({1.f, 2.f, 6.f})});
  out.terms.push_back(
      {.name = "weighted", .value = at::tensor({1.f, 2.f, 6.f}), .weight = at::tensor({1.f, 0.f, 1.f})});
  out.terms.push_back({.name = "scalar", .value = at::scalar_tensor(7.f), .scale = 0.5});
  const auto value = both("bce", {{"rows", 10}})(out, batch());
  const std::vector<double> expected{kClick,
                                     kBuy,
                                     (bce(1, 1) + bce(1, 1) + bce(1, 0)) / 3,
                                     (bce(1, 0) + bce(2, 1)) / 2,
                                     (bce(0, 0.25) + bce(1, 0.5) + bce(2, 1)) / 3,
                                     3,
                                     1.5,
                                     3.5,
                                     7};
  ASSERT_EQ(value.parts.size(), expected.size());
  for (size_t i = 0; i < expected.size(); ++i)
    EXPECT_NEAR(value.parts[i].value.item<double>(), expected[i], 1e-6) << value.parts[i].name;
  const std::vector<double> scale{1, 1, 2, 1, 1, 10, 1, 1, 0.5};
  double total = 0;
  for (size_t i = 0; i < expected.size(); ++i) total += scale[i] * expected[i];
  EXPECT_NEAR(value.total.item<double>(), total, 1e-5);
}

TEST(Objective, AValueOfEntriesCountsAsTheirRowsDo) {
  Output out(logits());
  const auto rows = at::tensor({0, 0, 2, 1}, at::kLong);
  out.terms.push_back({.name = "pairs", .value = at::tensor({1.f, 2.f, 6.f, 4.f}), .rows = rows});
  out.terms.push_back({.name = "clicked", .label = "click", .value = at::tensor({1.f, 2.f, 6.f, 4.f}), .rows = rows});
  out.terms.push_back({.name = "weighed",
                       .value = at::tensor({1.f, 2.f, 6.f, 4.f}),
                       .weight = at::tensor({2.f, 1.f, 0.f, 1.f}),
                       .rows = rows});
  out.terms.push_back({.name = "none", .value = at::zeros({0}), .rows = at::zeros({0}, at::kLong)});
  const auto value = both("bce", {{"none", 3}})(out, batch(at::tensor({1.f, 3.f, 5.f})));
  EXPECT_THAT(names(value), ElementsAre("click", "buy", "pairs", "clicked", "weighed"));
  EXPECT_NEAR(value.parts[2].value.item<double>(), (1 + 2 + 5 * 6 + 3 * 4) / 10.0, 1e-6);
  EXPECT_NEAR(value.parts[3].value.item<double>(), (1 + 2 + 3 * 4) / 5.0, 1e-6);  // rows 0 and 1 were clicked
  EXPECT_NEAR(value.parts[4].value.item<double>(), (2 * 1 + 2 + 3 * 4) / 6.0, 1e-6);
  out.terms = {{.name = "side", .value = at::zeros({2}), .rows = rows}};
  EXPECT_THAT(config_error([&] { both("bce")(out, batch()); }), HasSubstr("its value is [2] for 4 rows"));
  out.terms = {{.name = "side", .logit = at::zeros({3}), .label = "click", .rows = rows}};
  EXPECT_THAT(config_error([&] { both("bce")(out, batch()); }), HasSubstr("`rows` belongs to a value"));
}

TEST(Objective, ABatchWithoutAnyOfItsTermsTeachesNothing) {
  Output out;
  out.terms.push_back({.name = "none", .value = at::zeros({0}), .rows = at::zeros({0}, at::kLong)});
  const auto value = both("bce")(out, batch());
  EXPECT_EQ(value.total.item<double>(), 0);
  value.total.backward();
  EXPECT_TRUE(value.parts.empty());
}

TEST(Objective, AModelMayGiveTermsAlone) {
  Output out;
  out.terms.push_back({.name = "masked", .value = at::tensor({1.f, 2.f, 6.f})});
  EXPECT_NEAR(both("bce")(out, batch()).total.item<double>(), 3, 1e-6);
  EXPECT_THAT(config_error([] { both("bce")(Output(), batch()); }), HasSubstr("neither logits nor terms"));
}

TEST(Objective, OneLabelWithoutTermsHasOnePart) {
  Batch b = batch();
  b.labels = b.labels.narrow(1, 0, 1);
  Objective one(Config::scalar("bce"), {}, {"click"});
  const auto value = one(Output(at::tensor({0.5f, 2.f, -0.5f})), b);
  EXPECT_NEAR(value.total.item<double>(), kClick, 1e-6);
  EXPECT_TRUE(value.parts.empty());
}

TEST(Objective, SaysWhatDoesNotFit) {
  EXPECT_THAT(config_error([] { both("{click: bce, by: bce}"); }), HasSubstr("no label 'by' (labels: click, buy)"));
  EXPECT_THAT(config_error([] { both("{click: bce}"); }), HasSubstr("label 'buy' has no loss"));
  EXPECT_THAT(config_error([] { both("{name: bce, weight: 2}"); }), HasSubstr("only losses by label have weights"));
  EXPECT_THAT(config_error([] { both("{click: bce, buy: {name: bce, weight: -1}}"); }), HasSubstr("weight"));
  EXPECT_THAT(config_error([] { both("{click: bce, buy: {name: bce, gamma: 1}}"); }), HasSubstr("gamma"));
  EXPECT_THAT(config_error([] {
                both("bce", {{"sarch", 2}})(Output(logits()), batch());
              }),
              HasSubstr("the model has no term 'sarch' (it has none)"));
  Output out(logits());
  out.terms.push_back({.name = "side", .logit = at::zeros({3})});
  EXPECT_THAT(config_error([&] { both("bce")(out, batch()); }), HasSubstr("does not say which of the 2 labels"));
  out.terms[0].label = "bay";
  EXPECT_THAT(config_error([&] { both("bce")(out, batch()); }), HasSubstr("no label 'bay'"));
  out.terms[0] = {.name = "side", .value = at::zeros({2})};
  EXPECT_THAT(config_error([&] { both("bce")(out, batch()); }), HasSubstr("its value is [2] for 3 rows"));
  EXPECT_THAT(config_error([] { both("bce")(Output(at::zeros({3})), batch()); }),
              HasSubstr("logits [3] for labels [3, 2]"));
}

TEST(Objective, ResolvedItMeansTheSame) {
  for (const char* loss : {"bce", "{name: focal, gamma: 1}", "{click: bce, buy: {name: focal, weight: 0.5}}",
                           "{click: bce, buy.30d: {name: focal, weight: 0.5}}"}) {
    const Config once = Objective::resolve(Config::parse(loss));
    EXPECT_EQ(Objective::resolve(Config::parse(once.yaml())), once) << loss;
  }
}

TEST(Objective, ALabelMayHaveADotInItsName) {
  const Config resolved = Objective::resolve(Config::parse("{click: bce, buy.30d: {name: focal, weight: 0.5}}"));
  EXPECT_EQ(resolved["buy.30d"]["weight"].as<double>(), 0.5);
}

TEST(Output, TakesOverTheTermsOfAModelWithin) {
  Output inner, outer;
  inner.terms.push_back({.name = "search", .scale = 3});
  inner.tokens = 5;
  outer.tokens = 1;
  outer.take("left", std::move(inner));
  ASSERT_EQ(outer.terms.size(), 1u);
  EXPECT_EQ(outer.terms[0].name, "left.search");
  EXPECT_EQ(outer.terms[0].scale, 3);
  EXPECT_EQ(outer.tokens, 6);
}

}  // namespace
}  // namespace interplay::objective_test
