#include <interplay/core/field_embedding.h>

#include <map>
#include <string>
#include <vector>

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <interplay/base/error.h>
#include <interplay/core/field_linear.h>
#include <interplay/nn/table_storage.h>

#include "support/error_of.h"
#include "support/toy_rows.h"

namespace interplay::field_embedding_test {
namespace {

using testing::config_error;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::make_field;

/// The toy schema, its ratings summed instead of averaged.
Schema schema() {
  auto fields = testing::toy_schema().fields();
  fields[4].pooling = "sum";
  return Schema(fields, {"click", "like"});
}

/// Rows 3, 0 and 6 of toy_rows(): user 3 0 0, item 3 0 6, age 1.5 0 3, hist {3 4 5} {} {6 7}, ratings {3 4 0} {} {1 2},
/// tags {3 weighing 3.25} {} {}, image (3, -3) (0, 0) (6, -6).
Features rows() {
  EncodedBatch batch;
  batch.rows = 3;
  batch.ids = {3, 3, 0, 0, 0, 6};
  batch.dense = {1.5, 0, 3};
  batch.sequences = {
      {{3, 4, 5, 6, 7}, {0, 3, 3, 5}, {}}, {{3, 4, 0, 1, 2}, {0, 3, 3, 5}, {}}, {{3}, {0, 1, 1, 1}, {3.25}}};
  batch.vectors = {{3, -3, 0, 0, 6, -6}};
  return to_features(batch, schema());
}

at::Tensor matrix(const std::vector<float>& values, int64_t width) { return at::tensor(values).view({-1, width}); }

/// Row r of table `name` becomes (first r + add, second r), its padding row zero.
void fill(torch::nn::Module& fields, const std::string& name, float first, float second, float add = 0) {
  for (const auto& t : nn::tables_of(fields)) {
    if (t.name != name) continue;
    for (int64_t r = 1; r < t.table->rows(); ++r)
      t.table->weight()[r].copy_(
          at::tensor({first * float(r) + add, second * float(r)}).narrow(0, 0, t.table->width()));
    return;
  }
  FAIL() << "no table '" << name << "'";
}

FieldEmbedding known_embedding(std::vector<std::string> leave_out = {}, const Schema& from = schema()) {
  const at::NoGradGuard no_grad;
  FieldEmbedding fields(from, EmbeddingOptions{2}, FieldChoice{.leave_out = std::move(leave_out)});
  fill(*fields, "user_id", 1, -1);
  fill(*fields, "item_id", 10, 10, 1);  // (10 r + 1, 10 r)
  fill(*fields, "hist_ratings", 100, 0);
  fill(*fields, "tags", 1, 2);
  fields->named_parameters()["numeric"].copy_(matrix({2, 3}, 2));
  fields->named_parameters()["image_projection.weight"].copy_(matrix({1, 2, 3, 4}, 2));  // y = W x
  return fields;
}

TEST(FieldEmbedding, GivesEveryFieldAVectorWhateverItsKind) {
  FieldEmbedding fields = known_embedding();
  EXPECT_THAT(fields->names(), ElementsAre("user_id", "item_id", "age", "hist", "hist_ratings", "tags", "image"));
  EXPECT_EQ(fields->count(), 7);
  EXPECT_EQ(fields->flat_width(), 14);
  const auto e = fields(rows());
  EXPECT_EQ(e.tensor().sizes(), (std::vector<int64_t>{3, 7, 2}));
  const std::vector<at::Tensor> expected{matrix({3, -3, 0, 0, 0, 0}, 2),     // user
                                         matrix({31, 30, 0, 0, 61, 60}, 2),  // item
                                         matrix({3, 4.5, 0, 0, 6, 9}, 2),    // age times (2, 3)
                                         matrix({41, 40, 0, 0, 66, 65}, 2),  // mean of items 3 4 5, of none, of 6 7
                                         matrix({700, 0, 0, 0, 300, 0}, 2),  // sum of ratings
                                         matrix({3, 6, 0, 0, 0, 0}, 2),      // weighted mean of one tag
                                         matrix({3 - 6, 9 - 12, 0, 0, 6 - 12, -6}, 2)};  // projected image
  for (int64_t f = 0; f < 7; ++f) {
    EXPECT_TRUE(at::allclose(e.field(f), expected[size_t(f)], 1e-6, 1e-5)) << fields->names()[size_t(f)] << e.field(f);
    EXPECT_TRUE(at::equal(fields->field(rows(), fields->names()[size_t(f)]), e.field(f)));
  }
  EXPECT_TRUE(at::equal(e.flat(), e.tensor().view({3, 14})));
}

TEST(FieldEmbedding, LeavesOutTheFieldsAModelReadsItself) {
  FieldEmbedding fields = known_embedding({"user_id", "hist", "image"});
  EXPECT_THAT(fields->names(), ElementsAre("item_id", "age", "hist_ratings", "tags"));
  const auto e = fields(rows());
  FieldEmbedding all = known_embedding();
  const auto whole = all(rows());
  EXPECT_TRUE(at::equal(e.tensor(), whole.tensor().index_select(1, at::tensor({1, 2, 4, 5}, at::kLong))));
  EXPECT_TRUE(at::equal(fields->field(rows(), "user_id"), whole.field(0)));  // still there for the asking
  EXPECT_TRUE(at::equal(fields->field(rows(), "image"), whole.field(6)));
}

TEST(FieldEmbedding, LeavesOutSomeNumbersOfSeveral) {
  const Schema numbers(
      {make_field("a", FieldKind::numeric), make_field("b", FieldKind::numeric), make_field("c", FieldKind::numeric)},
      {"y"});
  FieldEmbedding fields(numbers, EmbeddingOptions{2}, FieldChoice{.leave_out = {"b"}});
  fields->named_parameters()["numeric"].detach().copy_(matrix({1, 2, 10, 20, 100, 200}, 2));
  Features x;
  x.rows = 1;
  x.dense = matrix({3, 5, 7}, 3);
  EXPECT_TRUE(at::equal(fields(x).tensor(), at::tensor({3.f, 6.f, 700.f, 1400.f}).view({1, 2, 2})));
  EXPECT_TRUE(at::equal(fields->field(x, "b"), matrix({50, 100}, 2)));
}

TEST(FieldEmbedding, SharesOneTableBetweenAFieldAndTheHistoryOfIt) {
  FieldEmbedding fields = known_embedding();
  std::vector<std::string> names;
  for (const auto& t : nn::tables_of(*fields)) names.push_back(t.name);
  EXPECT_THAT(names, ElementsAre("user_id", "item_id", "hist_ratings", "tags"));
  const auto e = fields(rows());
  (e.field(1).sum() + 6 * e.field(3).sum()).backward();
  for (const auto& t : nn::tables_of(*fields)) {
    const auto gradients = t.table->table().take();
    if (t.name != "item_id") continue;
    // Items 3 and 6 are read as themselves; a history of three gives each of its items 6 / 3, one of two 6 / 2.
    EXPECT_TRUE(at::equal(gradients.rows, at::tensor({3, 4, 5, 6, 7}, at::kLong)));
    EXPECT_TRUE(at::allclose(gradients.grad.select(1, 0), at::tensor({1.f + 2, 2.f, 2.f, 1.f + 3, 3.f})));
  }
}

TEST(FieldEmbedding, GivesASequenceEntryByEntry) {
  FieldEmbedding fields = known_embedding();
  const auto s = fields->sequence(rows(), "hist");
  EXPECT_TRUE(at::equal(s.vectors, matrix({31, 30, 41, 40, 51, 50, 61, 60, 71, 70}, 2)));
  EXPECT_TRUE(at::equal(s.row, at::tensor({0, 0, 0, 2, 2}, at::kLong)));
  EXPECT_TRUE(at::equal(s.offsets, at::tensor({0, 3, 3, 5}, at::kLong)));
  EXPECT_FALSE(s.valid.defined());
  EXPECT_FALSE(s.weights.defined());
  EXPECT_EQ(s.batch(), 3);
  EXPECT_TRUE(at::equal(fields->sequence(rows(), "tags").weights, at::tensor({3.25f})));
}

TEST(FieldEmbedding, PadsASequenceWithZerosThatAreNotValid) {
  FieldEmbedding fields = known_embedding();
  const auto s = fields->sequence(rows(), "hist", 4);
  EXPECT_TRUE(at::equal(s.vectors,
                        matrix({31, 30, 41, 40, 51, 50, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 61, 60, 71, 70, 0, 0, 0, 0}, 2)));
  EXPECT_TRUE(at::equal(s.valid.to(at::kInt), at::tensor({1, 1, 1, 0, 0, 0, 0, 0, 1, 1, 0, 0}, at::kInt)));
  EXPECT_TRUE(at::equal(s.row, at::tensor({0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2}, at::kLong)));
  EXPECT_TRUE(at::equal(s.offsets, at::tensor({0, 4, 8, 12}, at::kLong)));
  EXPECT_TRUE(at::equal(nn::pool(s, "mean"), fields->field(rows(), "hist")));
  const auto tags = fields->sequence(rows(), "tags", 2);
  EXPECT_TRUE(at::equal(tags.weights, at::tensor({3.25f, 0.f, 0.f, 0.f, 0.f, 0.f})));
  EXPECT_TRUE(at::equal(nn::pool(tags, "mean"), fields->field(rows(), "tags")));
}

TEST(FieldEmbedding, PaddedToLessASequenceKeepsItsLastEntries) {
  FieldEmbedding fields = known_embedding();
  const auto s = fields->sequence(rows(), "hist", 2);
  EXPECT_TRUE(at::equal(s.vectors, matrix({41, 40, 51, 50, 0, 0, 0, 0, 61, 60, 71, 70}, 2)));
  EXPECT_TRUE(at::equal(s.valid.to(at::kInt), at::tensor({1, 1, 0, 0, 1, 1}, at::kInt)));
}

TEST(FieldEmbedding, HasVectorsForIdsOfOnesOwn) {
  FieldEmbedding fields = known_embedding();
  const auto ids = at::tensor({2, 0, 1, 3}, at::kLong).view({2, 2});
  EXPECT_TRUE(at::equal(fields->rows("item_id", ids), matrix({21, 20, 0, 0, 11, 10, 31, 30}, 2).view({2, 2, 2})));
  EXPECT_TRUE(at::equal(fields->rows("hist", ids), fields->rows("item_id", ids)));  // the table that both read
  EXPECT_EQ(fields->rows("user_id", at::zeros({0}, at::kLong)).sizes(), (std::vector<int64_t>{0, 2}));
  const int64_t size = schema().field("item_id").rows;
  EXPECT_EQ(schema().field("item_id").tokens(), size - 2);
  for (const int64_t wrong : {int64_t{-1}, size})
    EXPECT_THAT(config_error([&] { fields->rows("item_id", at::full({1}, wrong, at::kLong)); }),
                HasSubstr(fmt::format("'item_id': id {} of a table of {} rows", wrong, size)));
  EXPECT_THAT(config_error([&] { fields->rows("age", ids); }), HasSubstr("'age' is numeric"));
}

TEST(FieldEmbedding, ReadsARowWithoutRows) {
  FieldEmbedding fields = known_embedding();
  EncodedBatch none;
  none.sequences.resize(3);
  for (auto& s : none.sequences) s.offsets = {0};
  none.vectors.resize(1);
  EXPECT_EQ(fields(to_features(none, schema())).tensor().sizes(), (std::vector<int64_t>{0, 7, 2}));
}

TEST(FieldEmbedding, WritesADotInATablesNameAsPercentTwoE) {
  const FieldEmbedding fields(Schema({make_field("ad.id", FieldKind::categorical, 3)}, {"y"}), 1);
  ASSERT_EQ(nn::tables_of(*fields).size(), 1u);
  EXPECT_EQ(nn::tables_of(*fields)[0].name, "ad%2Eid");
}

TEST(FieldEmbedding, NamesTheFieldItCannotRead) {
  FieldEmbedding fields = known_embedding();
  EXPECT_THAT(config_error([&] { fields->field(rows(), "user_ids"); }), HasSubstr("did you mean 'user_id'?"));
  EXPECT_THAT(config_error([&] { fields->sequence(rows(), "user_id"); }), HasSubstr("'user_id' is categorical"));
  EXPECT_THAT(config_error([&] { known_embedding({"useless_id"}); }), HasSubstr("there is no field 'useless_id'"));
  EXPECT_THAT(config_error([&] { FieldEmbedding(schema(), 0); }), HasSubstr("embedding_dim"));
  EXPECT_THAT(config_error([&] { FieldEmbedding(Schema({}, {"y"}), 2)(Features{}); }), HasSubstr("no field to read"));
  EXPECT_THAT(config_error([&] { FieldEmbedding(Schema({make_field("t", FieldKind::text)}, {"y"}), 2); }),
              HasSubstr("fields.drop"));
}

TEST(FieldEmbedding, NarrowerTablesGiveVectorsThatEndInZeros) {
  const at::NoGradGuard no_grad;
  FieldEmbedding fields(schema(), EmbeddingOptions{3, 0.5}, FieldChoice{.widths = {{"item_id", 2}, {"tags", 1}}});
  for (const auto& t : nn::tables_of(*fields))
    EXPECT_EQ(t.table->width(), t.name == "item_id" ? 2 : t.name == "tags" ? 1 : 3) << t.name;
  fill(*fields, "item_id", 10, 20);
  fill(*fields, "tags", 1, 0);
  const auto x = rows();
  const auto e = fields(x).tensor();  // [3, 7, 3]
  EXPECT_TRUE(at::equal(e.select(1, 1), matrix({30, 60, 0, 0, 0, 0, 60, 120, 0}, 3))) << e.select(1, 1);
  EXPECT_TRUE(at::equal(fields->field(x, "item_id"), e.select(1, 1)));
  EXPECT_TRUE(at::equal(e.select(1, 3), matrix({40, 80, 0, 0, 0, 0, 65, 130, 0}, 3)));  // the mean of hist
  EXPECT_TRUE(at::equal(e.select(1, 5), matrix({3, 0, 0, 0, 0, 0, 0, 0, 0}, 3)));
  EXPECT_EQ(fields->sequence(x, "hist").vectors.sizes(), (std::vector<int64_t>{5, 3}));
  EXPECT_EQ(fields->flat_width(), 21);
}

TEST(FieldEmbedding, RefusesAWidthThatNoTableCanHave) {
  const auto make = [](const std::string& table, int64_t width) {
    return config_error([&] {
      FieldEmbedding(schema(), EmbeddingOptions{4}, FieldChoice{.widths = {{table, width}}});
    });
  };
  EXPECT_THAT(make("item", 2), HasSubstr("widths: there is no table 'item' (tables: user_id, item_id"));
  EXPECT_THAT(make("item_id", 5), HasSubstr("widths: table 'item_id' is 5 wide; expected 1 to 4, the embedding_dim"));
  EXPECT_THAT(make("item_id", 0), HasSubstr("expected 1 to 4"));
}

TEST(FieldEmbedding, AFieldThatIsLeftOutNeedsNoTable) {
  const FieldEmbedding fields(schema(), EmbeddingOptions{2},
                              FieldChoice{.leave_out = {"user_id"}, .widths = {{"user_id", 0}}});
  EXPECT_EQ(fields->names().front(), "item_id");
  for (const auto& t : nn::tables_of(*fields)) EXPECT_NE(t.name, "user_id");
}

TEST(FieldEmbedding, TakesWidthsFromTheSchemaUnlessGivenThem) {
  const Schema narrow = schema().with_widths({{"user_id", 1}, {"item_id", 2}});
  const FieldEmbedding fields(narrow, EmbeddingOptions{4}, FieldChoice{.widths = {{"item_id", 3}}});
  std::map<std::string, int64_t> widths;
  for (const auto& t : nn::tables_of(*fields)) widths[t.name] = t.table->width();
  EXPECT_EQ(widths, (std::map<std::string, int64_t>{{"user_id", 1}, {"item_id", 3}, {"hist_ratings", 4}, {"tags", 4}}));
  const FieldLinear linear(narrow);  // has one weight a value, whatever the width
}

TEST(FieldEmbedding, AShiftedStartLeavesPaddingAtZero) {
  FieldEmbedding fields(schema(), 2, /*init_std=*/0);
  fields->shift_start(0.25);
  for (const auto& t : nn::tables_of(*fields)) {
    const auto w = t.table->weight();
    EXPECT_TRUE(at::equal(w[0], at::zeros({2}))) << t.name;
    EXPECT_TRUE(at::equal(w.slice(0, 1), at::full({w.size(0) - 1, 2}, 0.25))) << t.name;
  }
  EXPECT_TRUE(at::equal(fields->named_parameters()["numeric"], at::full({1, 2}, 0.25)));
}

TEST(FieldLinear, SumsOneWeightAValueAndABias) {
  const at::NoGradGuard no_grad;
  FieldLinear linear(schema());
  auto parameters = linear->named_parameters();
  fill(*linear, "weights.user_id", 1, 0);
  fill(*linear, "weights.item_id", 10, 0);
  fill(*linear, "weights.hist_ratings", 100, 0);
  fill(*linear, "weights.tags", 1000, 0);
  parameters["weights.numeric"].fill_(2);
  parameters["weights.image_projection.weight"].copy_(matrix({5, 6}, 2));
  parameters["bias"].fill_(0.5);
  // user + item + 2 age + mean of hist + sum of ratings + tags + 5 and 6 of the image, and the bias.
  const auto expected =
      at::tensor({3.f + 30 + 3 + 40 + 700 + 3000 + 15 - 18 + .5f, .5f, 0 + 60 + 6 + 65 + 300 + 0 - 6 + .5f});
  EXPECT_TRUE(at::allclose(linear(rows()), expected)) << linear(rows());
  FieldLinear without_bias(schema(), /*bias=*/false);
  EXPECT_EQ(without_bias->named_parameters().find("bias"), nullptr);
}

TEST(FieldLinear, ItsBiasIsDenseAndItsWeightsAreLinear) {
  const FieldLinear linear(schema());
  EXPECT_EQ(linear->parameter_group(), "dense");
  EXPECT_EQ(linear->named_children()["weights"]->as<FieldEmbeddingImpl>()->parameter_group(), "linear");
}

}  // namespace
}  // namespace interplay::field_embedding_test
