#include <interplay/core/predictions.h>

#include <cmath>
#include <map>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <interplay/core/metric.h>

#include "support/error_of.h"

namespace interplay::predictions_test {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

const float kNone = std::nanf("");

/// Four rows with two labels; the second is missing in row 2.
Predictions two() {
  Predictions p;
  p.labels = 2;
  p.logit = {1, 0, 2, 1, 3, 9, 4, 2};
  p.label = {0, 0, 1, 1, 0, kNone, 1, 1};
  p.weight = {1, 1, 1, 5};
  p.group = {7, 7, 8, 8};
  return p;
}

std::map<std::string, double> values(const Predictions& p, const char* wanted) {
  std::map<std::string, double> out;
  for (const auto& v : evaluate(p, Config::parse(wanted), {"click", "buy"})) out[v.name] = v.value;
  return out;
}

TEST(Predictions, AMetricOfALabelIsThatOfTheRowsThatHaveIt) {
  const auto all = values(two(), "[auc]");
  EXPECT_DOUBLE_EQ(all.at("auc:click"), (1 + 5 + 5) / 12.0);  // pairs by the product of weights
  EXPECT_DOUBLE_EQ(all.at("auc:buy"), 1);
  EXPECT_DOUBLE_EQ(all.at("auc"), (all.at("auc:click") + 1) / 2);
}

TEST(Predictions, OfALabelKeepsWeightsAndGroupsBesideTheRows) {
  const Predictions p = two();
  const auto rows = p.of_label(1);
  EXPECT_THAT(rows->row, ElementsAre(0, 1, 3));
  EXPECT_THAT(rows->logit, ElementsAre(0, 1, 2));
  EXPECT_THAT(rows->weight, ElementsAre(1, 1, 5));
  EXPECT_THAT(rows->group, ElementsAre(7, 7, 8));
  EXPECT_TRUE(p.of_label(0)->row.empty());
}

TEST(Predictions, WhyTheMeanIsUndefinedNamesTheLabel) {
  Predictions p = two();
  for (size_t row = 0; row < 4; ++row) p.label[2 * row + 1] = 1;
  const auto all = evaluate(p, Config::parse("[auc]"), {"click", "buy"});
  EXPECT_TRUE(std::isnan(all[0].value));
  EXPECT_EQ(all[0].reason, "of label 'buy', all labels are of one class");
  EXPECT_THAT(testing::config_error([&] { monitor_value(all, Config::scalar("auc")); }), HasSubstr("of label 'buy'"));
}

TEST(Predictions, RowsWithoutLabelsAreNotJudged) {
  Predictions p = two();
  p.label.clear();
  EXPECT_THAT(testing::config_error([&] { values(p, "[auc]"); }), HasSubstr("0 labels beside 8 logits"));
}

}  // namespace
}  // namespace interplay::predictions_test
