#include <interplay/train/retrieval.h>

#include <cmath>

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <interplay/core/retriever.h>
#include <interplay/data/no_group.h>

#include "support/error_of.h"
#include "support/stored.h"
#include "support/toy_rows.h"

namespace interplay::retrieval_test {
namespace {

using testing::config_error;
using ::testing::HasSubstr;
using testing::make_field;

/// Items are 1 to 4 (5 is unseen). An item's score for a query is a table's entry, by user.
class Tabled final : public Model, public Retriever {
 public:
  Output forward(const Features& x) override { return (queries(x) * items(x)).sum(1); }
  std::string item_field() const override { return "item"; }
  at::Tensor queries(const Features& x) override { return score.index_select(0, x.ids.select(1, 0).to(at::kLong)); }
  at::Tensor items(const Features& x) override { return at::eye(6).index_select(0, x.ids.select(1, 1).to(at::kLong)); }
  at::Tensor score = at::tensor({0.f, 0.f, 0.f, 0.f, 0.f, 0.f,   // user 0: nobody
                                 0.f, 4.f, 3.f, 2.f, 1.f, 9.f,   // user 1
                                 0.f, 1.f, 1.f, 1.f, 2.f, 9.f})  // user 2: items 1 to 3 tie
                         .view({3, 6});
};

struct Row {
  int32_t user, item;
  float label;
};

Dataset data(const std::vector<Row>& rows, std::vector<float> weight = {}, bool groups = true) {
  EncodedBatch batch;
  batch.rows = int64_t(rows.size());
  for (const Row& r : rows) {
    batch.ids.insert(batch.ids.end(), {r.user, r.item});
    batch.labels.push_back(r.label);
    if (groups) batch.group.push_back(r.user == 0 ? kNoGroup : r.user);
  }
  batch.weight = std::move(weight);
  return Dataset::from(
      Schema({make_field("user", FieldKind::categorical, 4), make_field("item", FieldKind::categorical, 6)}, {"click"}),
      {batch});
}

const std::vector<Row> kTrain{{1, 1, 1}, {1, 3, 0}, {2, 4, 1}, {2, 2, 1}};
const std::vector<Row> kRows{{1, 2, 1}, {1, 4, 0}, {2, 3, 1}, {2, 5, 1}};

double value(const char* metric, const Dataset& rows, const RetrievalOptions& options = {}) {
  Tabled model;
  const auto values = evaluate_retrieval(model, rows, data(kTrain), {metric}, options, 2);
  EXPECT_EQ(values.at(0).name, metric);
  return values.at(0).value;
}

TEST(Retrieval, RanksEveryItemForEachPositiveRow) {
  // User 1, item 2: second of four. User 2, item 3: item 4 above, tied with 1 and 2 for places 2 to 4. Item 5 is
  // unknown.
  EXPECT_NEAR(value("hit@1", data(kRows)), 0, 1e-9);
  EXPECT_NEAR(value("hit@2", data(kRows)), (1 + 1 / 3. + 0) / 3, 1e-9);
  EXPECT_NEAR(value("recall@3", data(kRows)), (1 + 2 / 3. + 0) / 3, 1e-9);
  EXPECT_NEAR(value("mrr", data(kRows)), (1 / 2. + (1 / 2. + 1 / 3. + 1 / 4.) / 3 + 0) / 3, 1e-9);
  EXPECT_NEAR(value("ndcg@2", data(kRows)), (1 / std::log2(3) + 1 / std::log2(3) / 3 + 0) / 3, 1e-9);
}

TEST(Retrieval, AnItemThatTiesHasEachPlaceOfTheTieAlike) {
  const auto j = testing::reference_json("systems/autograph.json").at("ranks");
  Tabled model;
  model.score.zero_();
  std::vector<Row> rows;
  for (int32_t user = 1; user <= 2; ++user) {
    for (int32_t item = 1; item <= 4; ++item)
      model.score[user][item] = j["scores"][size_t(user - 1)][size_t(item - 1)].get<float>();
    rows.push_back({user, j["target"][size_t(user - 1)].get<int32_t>() + 1, 1});
  }
  const auto found = [&](const std::string& metric) {
    return evaluate_retrieval(model, data(std::as_const(rows)), data(kTrain), {metric}, {}, 2).at(0).value;
  };
  for (const char* k : {"1", "2"}) {
    EXPECT_NEAR(found(std::string("recall@") + k), j["expected_recall"][k].get<double>(), 1e-6);
    EXPECT_NEAR(found(std::string("ndcg@") + k), j["expected_ndcg"][k].get<double>(), 1e-6);
  }
  EXPECT_NEAR(found("mrr"), j["expected_mrr"].get<double>(), 1e-6);
}

TEST(Retrieval, CountsRowsByTheirWeights) {
  EXPECT_NEAR(value("hit@2", data(kRows, {3, 1, 1, 0})), (3 * 1 + 1 / 3.) / 4, 1e-9);
}

TEST(Retrieval, LeavesOutWhatTheGroupHasSeen) {
  RetrievalOptions options;
  options.leave_out_seen = true;
  // User 1 has seen item 1: item 2 is first. User 2 has seen 4 and 2: item 3 ties with item 1 for places 1 and 2.
  EXPECT_NEAR(value("hit@1", data(kRows), options), (1 + 1 / 2. + 0) / 3, 1e-9);
}

TEST(Retrieval, AGroupAsksOnceForAllItsItems) {
  RetrievalOptions options;
  options.per = "group";
  // User 2 wants 3 and 5, of which the catalogue lacks 5.
  EXPECT_NEAR(value("recall@4", data(kRows), options), (1 + 1 / 2.) / 2, 1e-9);
}

TEST(Retrieval, RowsThatAreNobodysAreNoGroup) {
  // User 0's rows are: 3 and 4 are no single group's wishes, and what they saw in training is nobody's past.
  const std::vector<Row> rows{{1, 2, 1}, {0, 3, 1}, {0, 4, 1}};
  RetrievalOptions options;
  options.per = "group";
  EXPECT_NEAR(value("mrr", data(rows), options), 1 / 2., 1e-9);
  options = {};
  options.leave_out_seen = true;
  Tabled model;
  const auto train = data({{0, 1, 1}, {0, 2, 1}, {1, 3, 0}, {2, 4, 0}});
  const auto all_tie = evaluate_retrieval(model, data({{0, 3, 1}}), train, {"hit@1"}, options, 2);
  EXPECT_NEAR(all_tie[0].value, 1 / 4., 1e-9);
}

TEST(Retrieval, SaysWhatItLacks) {
  class Plain final : public Model {
    Output forward(const Features& x) override { return at::zeros({x.rows}); }
  } plain;
  EXPECT_THAT(config_error([&] { evaluate_retrieval(plain, data(kRows), data(kTrain), {"mrr"}); }),
              HasSubstr("it is no Retriever, as two_tower is"));
  RetrievalOptions options;
  options.per = "group";
  EXPECT_THAT(config_error([&] { value("mrr", data(kRows, {}, false), options); }), HasSubstr("group: user_id"));
  options = {};
  options.label = "clack";
  EXPECT_THAT(config_error([&] { value("mrr", data(kRows), options); }), HasSubstr("no label 'clack'"));
  Tabled model;
  const auto none = evaluate_retrieval(model, data({{1, 1, 0}}), data(kTrain), {"mrr"});
  EXPECT_TRUE(std::isnan(none[0].value));
  EXPECT_THAT(none[0].reason, HasSubstr("no positives"));
}

}  // namespace
}  // namespace interplay::retrieval_test
