#include <interplay/core/retrieval_model.h>

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/error_of.h"
#include "support/stored.h"
#include "support/toy_rows.h"

namespace interplay::retrieval_model_test {
namespace {

using testing::config_error;
using testing::expect_near;
using ::testing::HasSubstr;
using testing::make_field;

/// Users 1 to 3, items 1 to 4 (5 is unseen), each of a genre and a price of its own; user's history of items.
Schema schema() {
  Field past = make_field("past", FieldKind::sequence, 6, "item");
  past.target = "item";
  return Schema({make_field("user", FieldKind::categorical, 5), make_field("item", FieldKind::categorical, 6),
                 make_field("genre", FieldKind::categorical, 5), make_field("price", FieldKind::numeric), past},
                {"click"});
}

/// Rows of (user, item): the genre is the item's modulo 3, the price half of it; the history is the item before.
Features rows(const std::vector<std::pair<int32_t, int32_t>>& of) {
  Features x;
  x.rows = int64_t(of.size());
  std::vector<int32_t> ids, past;
  std::vector<float> price;
  std::vector<int64_t> offsets{0};
  for (const auto& [user, item] : of) {
    ids.insert(ids.end(), {user, item, item % 3 + 1});
    price.push_back(float(item) / 2);
    if (item > 1) past.push_back(item - 1);
    offsets.push_back(int64_t(past.size()));
  }
  x.ids = at::tensor(ids, at::kInt).view({x.rows, 3});
  x.dense = at::tensor(price).view({x.rows, 1});
  x.sequences = {{at::tensor(past, at::kInt), at::tensor(offsets, at::kLong), {}}};
  return x;
}

std::shared_ptr<Model> make(const std::string& options) {
  return make_model(Config::parse("{name: two_tower, item_fields: [genre, price], " + options + "}"), schema());
}

TEST(RetrievalModel, RemembersEachItemAsItsFirstRowHasIt) {
  const auto model = make("negatives: 3");
  auto& sees = dynamic_cast<SeesRows&>(*model);
  EXPECT_TRUE(sees.wants_rows());
  sees.see_rows(rows({{1, 2}, {1, 5}, {2, 0}}));  // 5 is unseen, 0 missing
  sees.see_rows(rows({{3, 4}, {1, 2}}));
  sees.saw_all_rows();
  EXPECT_FALSE(sees.wants_rows());
  const auto buffers = model->named_buffers();
  EXPECT_TRUE(at::equal(buffers["known"], at::tensor({0, 0, 1, 0, 1, 0}).to(at::kBool)));
  EXPECT_TRUE(at::equal(buffers["catalogue_ids"][2], at::tensor({0, 2, 3}, at::kInt))) << "no user";
  EXPECT_TRUE(at::equal(buffers["catalogue_dense"][4], at::tensor({2.f})));
}

TEST(RetrievalModel, AgainstAllOtherItemsItIsTheSoftmaxOverTheCatalogue) {
  const auto model = make("negatives: 50, temperature: 0.5");
  dynamic_cast<SeesRows&>(*model).see_rows(rows({{1, 1}, {1, 2}, {1, 3}, {1, 4}}));
  model->train();
  const Features x = rows({{1, 3}, {2, 1}, {3, 3}});
  const auto loss = model->forward(x).terms.at(0).value;
  auto& retriever = dynamic_cast<Retriever&>(*model);
  const auto items = retriever.items(rows({{0, 1}, {0, 2}, {0, 3}, {0, 4}}));
  const auto score = at::matmul(retriever.queries(x), items.t()) / 0.5;  // [3, 4]
  const auto own = score.gather(1, at::tensor({2, 0, 2}, at::kLong).view({3, 1})).squeeze(1);
  expect_near(loss, at::logsumexp(score, 1) - own, 1e-5, "loss");
}

TEST(RetrievalModel, WithoutRowsThatWereShownItIsTrainedWithinTheBatch) {
  const Features x = rows({{1, 3}, {2, 1}, {3, 2}});
  const auto drawn = make("negatives: 50"), within = make("sampling_correction: false");
  drawn->train(), within->train();
  EXPECT_TRUE(at::equal(drawn->forward(x).terms.at(0).value, within->forward(x).terms.at(0).value));
}

TEST(RetrievalModel, SaysWhatItCannotDo) {
  Schema plain = schema();
  const auto refused = [&](const std::string& options, const Schema& of) {
    return config_error([&] { make_model(Config::parse("{name: " + options + "}"), of); });
  };
  EXPECT_THAT(refused("two_tower, item_fields: [past], negatives: 5", plain),
              HasSubstr("with negatives, fields of the item are categorical or numeric; 'past' is sequence"));
  EXPECT_THAT(refused("sasrec, history: genre", plain),
              HasSubstr("'genre' is no history of the data (histories: past)"));
  EXPECT_THAT(refused("gru4rec, item: item", plain.drop({"past"})), HasSubstr("the fields have no history"));
  EXPECT_THAT(refused("sasrec, heads: 3", plain), HasSubstr("heads: 3 do not divide"));
}

}  // namespace
}  // namespace interplay::retrieval_model_test
