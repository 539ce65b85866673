#include <interplay/train/evaluator.h>

#include <cmath>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/error_of.h"

namespace interplay {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

const float kNone = std::nanf("");

/// Four rows with two labels; the second is missing in row 2.
Predicted two() {
  Predicted p;
  p.labels = 2;
  p.logit = {1, 0, 2, 1, 3, 9, 4, 2};
  p.label = {0, 0, 1, 1, 0, kNone, 1, 1};
  p.weight = {1, 1, 1, 5};
  p.group = {7, 7, 8, 8};
  return p;
}

std::map<std::string, double> values(const Predicted& p, const char* wanted) {
  std::map<std::string, double> out;
  for (const auto& v : p.evaluate(Config::parse(wanted), {"click", "buy"})) out[v.name] = v.value;
  return out;
}

TEST(Predicted, AMetricOfALabelIsThatOfTheRowsThatHaveIt) {
  const auto all = values(two(), "[auc]");
  EXPECT_DOUBLE_EQ(all.at("auc:click"), (1 + 5 + 5) / 12.0);  // pairs by the product of weights
  EXPECT_DOUBLE_EQ(all.at("auc:buy"), 1);
  EXPECT_DOUBLE_EQ(all.at("auc"), (all.at("auc:click") + 1) / 2);
}

TEST(Predicted, OfALabelKeepsWeightsAndGroupsBesideTheRows) {
  const Predicted p = two();
  const auto rows = p.of_label(1);
  EXPECT_THAT(rows->rows, ElementsAre(0, 1, 3));
  EXPECT_THAT(rows->predictions.logit, ElementsAre(0, 1, 2));
  EXPECT_THAT(rows->predictions.weight, ElementsAre(1, 1, 5));
  EXPECT_THAT(rows->predictions.group, ElementsAre(7, 7, 8));
  EXPECT_TRUE(p.of_label(0)->rows.empty());
}

TEST(Predicted, WhyTheMeanIsUndefinedNamesTheLabel) {
  Predicted p = two();
  for (size_t row = 0; row < 4; ++row) p.label[2 * row + 1] = 1;
  const auto all = p.evaluate(Config::parse("[auc]"), {"click", "buy"});
  EXPECT_TRUE(std::isnan(all[0].value));
  EXPECT_EQ(all[0].reason, "of label 'buy', all labels are of one class");
  EXPECT_THAT(testing::config_error([&] { monitor_value(all, Config::scalar("auc")); }), HasSubstr("of label 'buy'"));
}

TEST(Predicted, RowsWithoutLabelsAreNotJudged) {
  Predicted p = two();
  p.label.clear();
  EXPECT_THAT(testing::config_error([&] { values(p, "[auc]"); }), HasSubstr("0 labels beside 8 logits"));
}

}  // namespace
}  // namespace interplay
