#include <interplay/explain/importance.h>

#include <cmath>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <interplay/base/error.h>

#include "explain_support.h"
#include "support/error_of.h"

namespace interplay::importance_test {
namespace {

using testing::config_error;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

/// Numbers a and b of 60 rows; the logit is 2 a - b, whatever b is worth.
struct Linear {
  Linear() {
    for (int i = 0; i < 60; ++i) {
      values.push_back({float(std::sin(1.3 * i)), float(std::cos(2.1 * i))});
      label.push_back(float(i * 37 % 10 < (values.back()[0] > 0 ? 8 : 3)));
    }
    data = std::make_unique<Dataset>(testing::numeric_rows(values, label));
    model = testing::blank_model("{name: lr}", data->schema());
    testing::set_weight(*model, "linear.weights.numeric", {2, -1});
  }
  /// Mean log loss where each row has every row's value of a in turn.
  double shuffled_loss() const {
    double sum = 0;
    for (size_t i = 0; i < values.size(); ++i) {
      for (size_t j = 0; j < values.size(); ++j) sum += loss(2 * values[j][0] - values[i][1], label[i]);
    }
    return sum / double(values.size() * values.size());
  }
  double own_loss() const {
    double sum = 0;
    for (size_t i = 0; i < values.size(); ++i) sum += loss(2 * values[i][0] - values[i][1], label[i]);
    return sum / double(values.size());
  }
  static double loss(double z, double y) { return std::log1p(std::exp(z)) - y * z; }

  std::vector<std::vector<float>> values;
  std::vector<float> label;
  std::unique_ptr<Dataset> data;
  std::shared_ptr<Model> model;
};

TEST(Importance, OfALinearModelIsTheLossOverAllExchangesOfRows) {
  const Linear linear;
  const SampledRows rows(*linear.data);
  const LabelLogit logit{*linear.model};
  const auto found = permutation_importance(logit, rows, {{"a", {"a"}}}, {.repeats = 2000, .replicates = 100});
  // Each of 2000 permutations gives a mean over 60 rows: their mean is known to about 0.1 / sqrt(2000).
  EXPECT_NEAR(found[0].loss.value, linear.shuffled_loss() - linear.own_loss(), 0.01);
  EXPECT_GT(linear.shuffled_loss() - linear.own_loss(), 0.3);
  EXPECT_LT(found[0].loss.low, found[0].loss.value);
  EXPECT_GT(found[0].loss.high, found[0].loss.value);
}

TEST(Importance, OfAllFieldsTogetherLeavesAnAucOfAHalf) {
  const Linear linear;
  const SampledRows rows(*linear.data);
  const LabelLogit logit{*linear.model};
  const double auc = standing(logit, rows).auc.value;
  const auto found = permutation_importance(logit, rows, {{"all", {"a", "b"}}}, {.repeats = 2000, .replicates = 10});
  EXPECT_GT(auc, 0.6);
  EXPECT_NEAR(found[0].auc.value, auc - 0.5, 0.01);  // logits that know nothing of their rows
}

TEST(Importance, OfAFieldThatTheModelPassesOverIsNothing) {
  const Linear linear;
  testing::set_weight(*linear.model, "linear.weights.numeric", {2, 0});
  const auto found = permutation_importance({*linear.model}, SampledRows(*linear.data), {{"b", {"b"}}});
  for (const double v :
       {found[0].loss.value, found[0].loss.low, found[0].loss.high, found[0].auc.low, found[0].auc.high})
    EXPECT_NEAR(v, 0, 1e-12);
}

TEST(Importance, OfAFieldDoesNotDependOnWhichOthersAreAskedFor) {
  const Linear linear;
  const SampledRows rows(*linear.data);
  const auto alone = permutation_importance({*linear.model}, rows, {{"b", {"b"}}});
  const auto second = permutation_importance({*linear.model}, rows, {{"a", {"a"}}, {"b", {"b"}}});
  EXPECT_EQ(alone[0].loss.value, second[1].loss.value);
  EXPECT_EQ(alone[0].auc.low, second[1].auc.low);
}

TEST(SampledRows, ExchangeWholeHistoriesWithWhatIsPairedWithThem) {
  const Dataset data = Dataset::from(testing::toy_schema(), {testing::toy_rows(0, 8)});
  const SampledRows rows(data);
  const auto taken = rows.take(at::tensor({1, 3}, at::kLong), {"hist", "hist_ratings"}, at::tensor({3, 0}, at::kLong));
  // Row 3 has three items, 3 4 5, rated 3 4 0; row 0 has none.
  EXPECT_TRUE(at::equal(taken.sequences[0].ids, at::tensor({3, 4, 5}, at::kInt)));
  EXPECT_TRUE(at::equal(taken.sequences[1].ids, at::tensor({3, 4, 0}, at::kInt)));
  EXPECT_TRUE(at::equal(taken.sequences[0].offsets, at::tensor({0, 3, 3}, at::kLong)));
  EXPECT_TRUE(taken.sequences[1].offsets.is_same(taken.sequences[0].offsets));
  EXPECT_TRUE(at::equal(taken.sequences[2].ids, at::tensor({1, 3}, at::kInt)));  // of rows 1 and 3 themselves
  EXPECT_TRUE(at::equal(taken.ids, at::tensor({1, 1, 3, 3}, at::kInt).view({2, 2})));
  EXPECT_TRUE(at::equal(taken.dense, at::tensor({0.5f, 1.5f}).view({2, 1})));
}

TEST(SampledRows, LeaveOutThoseWithoutTheLabel) {
  auto batch = testing::toy_rows(0, 6);
  batch.labels[2 * 4 + 1] = NAN;  // `like` of row 4
  const SampledRows rows(Dataset::from(testing::toy_schema(), {batch}), {.label = 1});
  EXPECT_THAT(rows.places(), ElementsAre(0, 1, 2, 3, 5));
  EXPECT_THAT(std::vector(rows.label().begin(), rows.label().end()), ElementsAre(1, 0, 0, 0, 1));
  EXPECT_THAT(std::vector(rows.weight().begin(), rows.weight().end()), ElementsAre(1, 2, 1, 2, 2));
}

TEST(FieldGroups, HoldPairedSequencesTogether) {
  const Schema schema = testing::toy_schema();
  std::vector<std::string> names;
  for (const auto& group : each_field(schema)) names.push_back(fmt::format("{}", fmt::join(group.fields, "+")));
  EXPECT_THAT(names, ElementsAre("user_id", "item_id", "age", "hist+hist_ratings", "tags", "image"));
  const auto read = read_groups("who=user_id,age;what=item_id", schema);
  EXPECT_EQ(read[0].name, "who");
  EXPECT_THAT(read[0].fields, ElementsAre("user_id", "age"));
  EXPECT_THAT(read[1].fields, ElementsAre("item_id"));
}

TEST(FieldGroups, ThatCannotBeAreRefused) {
  const Schema schema = testing::toy_schema();
  EXPECT_THAT(config_error([&] { read_groups("who=user_di", schema); }), HasSubstr("user_id"));
  EXPECT_THAT(config_error([&] { read_groups("past=hist", schema); }), HasSubstr("hist_ratings"));
  EXPECT_THAT(config_error([&] { read_groups("user_id", schema); }), HasSubstr("NAME=FIELD"));
  EXPECT_THAT(config_error([&] { read_groups("none=", schema); }), HasSubstr("has no fields"));
}

}  // namespace
}  // namespace interplay::importance_test
