#include <interplay/data/dataset.h>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <interplay/base/error.h>

#include "support/error_of.h"
#include "support/temp_dir.h"
#include "support/toy_rows.h"

namespace interplay::dataset_test {
namespace {

using testing::config_error;
using testing::data_error;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::make_field;
using testing::TempDir;
using testing::toy_rows;
using testing::toy_schema;

template <class T>
std::vector<T> values(const at::Tensor& tensor) {
  const auto flat = tensor.contiguous();
  return {flat.const_data_ptr<T>(), flat.const_data_ptr<T>() + flat.numel()};
}

bool same(const at::Tensor& a, const at::Tensor& b) {
  if (!a.defined() || !b.defined()) return a.defined() == b.defined();
  return a.scalar_type() == b.scalar_type() && at::equal(a, b);
}

void expect_same(const Batch& a, const Batch& b) {
  EXPECT_EQ(a.rows(), b.rows());
  EXPECT_TRUE(same(a.features.ids, b.features.ids));
  EXPECT_TRUE(same(a.features.dense, b.features.dense));
  EXPECT_TRUE(same(a.labels, b.labels));
  EXPECT_TRUE(same(a.weight, b.weight));
  EXPECT_TRUE(same(a.group, b.group));
  ASSERT_EQ(a.features.sequences.size(), b.features.sequences.size());
  for (size_t i = 0; i < a.features.sequences.size(); ++i) {
    const Sequence &x = a.features.sequences[i], &y = b.features.sequences[i];
    EXPECT_TRUE(same(x.ids, y.ids) && same(x.offsets, y.offsets) && same(x.weights, y.weights)) << "sequence " << i;
  }
  ASSERT_EQ(a.features.vectors.size(), b.features.vectors.size());
  for (size_t i = 0; i < a.features.vectors.size(); ++i)
    EXPECT_TRUE(same(a.features.vectors[i], b.features.vectors[i])) << "vector " << i;
}

/// Rows 0 .. 9 of toy_rows() in batches of 4, 1 and 5.
Dataset toy_memory() { return Dataset::from(toy_schema(), {toy_rows(0, 4), toy_rows(4, 1), toy_rows(5, 5)}); }

TEST(Dataset, GathersAnyRowsInTheOrderAskedFor) {
  const std::vector<int64_t> rows{7, 3, 3, 0};  // across record batches, one twice
  const Batch batch = toy_memory().gather(rows);
  const Features& x = batch.features;
  EXPECT_EQ(x.rows, 4);
  EXPECT_EQ(x.ids.sizes(), (std::vector<int64_t>{4, 2}));
  EXPECT_THAT(values<int32_t>(x.ids), ElementsAre(1, 7, 3, 3, 3, 3, 0, 0));
  EXPECT_THAT(values<float>(x.dense), ElementsAre(3.5, 1.5, 1.5, 0));
  EXPECT_THAT(values<int64_t>(x.sequences[0].offsets), ElementsAre(0, 3, 6, 9, 9));
  EXPECT_THAT(values<int32_t>(x.sequences[0].ids), ElementsAre(7, 8, 0, 3, 4, 5, 3, 4, 5));
  EXPECT_THAT(values<int32_t>(x.sequences[1].ids), ElementsAre(2, 3, 4, 3, 4, 0, 3, 4, 0));
  EXPECT_THAT(values<int64_t>(x.sequences[2].offsets), ElementsAre(0, 1, 2, 3, 3));
  EXPECT_THAT(values<int32_t>(x.sequences[2].ids), ElementsAre(3, 3, 3));
  EXPECT_THAT(values<float>(x.sequences[2].weights), ElementsAre(7.25, 3.25, 3.25));
  EXPECT_FALSE(x.sequences[0].weights.defined());
  EXPECT_EQ(x.vectors[0].sizes(), (std::vector<int64_t>{4, 2}));
  EXPECT_THAT(values<float>(x.vectors[0]), ElementsAre(7, -7, 3, -3, 3, -3, 0, 0));
  EXPECT_EQ(batch.labels.sizes(), (std::vector<int64_t>{4, 2}));
  EXPECT_THAT(values<float>(batch.labels), ElementsAre(0, 0, 1, 0, 1, 0, 1, 1));
  EXPECT_THAT(values<float>(batch.weight), ElementsAre(2, 2, 2, 1));
  EXPECT_THAT(values<int64_t>(batch.group), ElementsAre(1, 0, 0, 0));
}

TEST(Dataset, SliceEqualsGatherOfTheSameRows) {
  const Dataset data = toy_memory();
  for (int64_t first = 0; first <= 10; ++first) {
    for (int64_t count = 0; first + count <= 10; ++count) {
      std::vector<int64_t> rows;
      for (int64_t r = first; r < first + count; ++r) rows.push_back(r);
      expect_same(data.slice(first, count), data.gather(rows));
    }
  }
}

TEST(Dataset, DoesNotDependOnHowRowsWereCutIntoBatches) {
  const Dataset whole = Dataset::from(toy_schema(), {toy_rows(0, 10)});
  EXPECT_EQ(whole.rows(), toy_memory().rows());
  expect_same(whole.slice(0, 10), toy_memory().slice(0, 10));
}

TEST(Dataset, FileEqualsMemory) {
  const TempDir dir;
  testing::write_toy_data(dir.path(), 50, "valid");
  const Dataset file = Dataset::open(dir.path(), "valid");
  EXPECT_EQ(file.rows(), 50);
  EXPECT_EQ(file.name(), (dir / "valid").string());
  EXPECT_EQ(file.schema().fingerprint(), toy_schema().fingerprint());
  EXPECT_TRUE(file.has_labels() && file.has_weight() && file.has_group());
  expect_same(file.slice(3, 40), Dataset::from(toy_schema(), {toy_rows(0, 50)}).slice(3, 40));
  EXPECT_TRUE(Dataset::exists(dir.path(), "valid"));
  EXPECT_FALSE(Dataset::exists(dir.path(), "train"));
}

TEST(Dataset, NamesTheSplitsThereAreWhereOneIsMissing) {
  const TempDir dir;
  testing::write_toy_data(dir.path(), 5, "valid");
  EXPECT_THAT(data_error([&] { Dataset::open(dir.path(), "test"); }), HasSubstr("no split 'test' (splits: valid)"));
  EXPECT_THAT(data_error([&] { Dataset::open(dir / "absent", "test"); }), HasSubstr("no such directory"));
}

TEST(Dataset, PairedSequencesShareTheirOffsets) {
  const Batch batch = toy_memory().slice(0, 10);
  const auto& s = batch.features.sequences;
  EXPECT_TRUE(s[1].offsets.is_same(s[0].offsets));
  EXPECT_FALSE(s[2].offsets.is_same(s[0].offsets));
  expect_same(batch.to(at::kCPU), batch);
  const auto moved = batch.to(at::kMeta).features.sequences;  // a device that every build has
  EXPECT_TRUE(moved[0].offsets.is_meta() && moved[1].offsets.is_same(moved[0].offsets));
  EXPECT_FALSE(moved[2].offsets.is_same(moved[0].offsets));
}

TEST(Dataset, SelectsFieldsAndLabelsInTheOrderOfTheirSchema) {
  const Schema all = toy_schema();
  const auto item = all.field("item_id"), tags = all.field("tags");
  Field ratings = all.field("hist_ratings"), hist = all.field("hist");
  const Schema some({hist, item, tags, ratings}, {"like", "click"});  // not the order of the data
  const Dataset data = toy_memory().select(some);
  EXPECT_EQ(data.rows(), 10);
  const Batch batch = data.gather(std::vector<int64_t>{5, 9});
  const Features& x = batch.features;
  EXPECT_EQ(x.ids.sizes(), (std::vector<int64_t>{2, 1}));
  EXPECT_THAT(values<int32_t>(x.ids), ElementsAre(5, 0));
  EXPECT_EQ(x.dense.sizes(), (std::vector<int64_t>{2, 0}));
  ASSERT_EQ(x.sequences.size(), 3u);  // hist, tags, hist_ratings
  EXPECT_THAT(values<int32_t>(x.sequences[0].ids), ElementsAre(5, 0));
  EXPECT_THAT(values<float>(x.sequences[1].weights), ElementsAre(5.25, 9.25));
  EXPECT_THAT(values<int32_t>(x.sequences[2].ids), ElementsAre(0, 4));
  EXPECT_TRUE(x.sequences[2].offsets.is_same(x.sequences[0].offsets));
  EXPECT_TRUE(x.vectors.empty());
  EXPECT_THAT(values<float>(batch.labels), ElementsAre(1, 0, 0, 1));  // like, click of rows 5 and 9
}

TEST(Dataset, SelectingLeavesTheOtherDatasetAsItWas) {
  const Dataset data = toy_memory();
  const Dataset labels = data.select(Schema({}, {"like"}));
  EXPECT_EQ(labels.slice(0, 1).features.ids.sizes(), (std::vector<int64_t>{1, 0}));
  EXPECT_EQ(data.slice(0, 1).features.ids.sizes(), (std::vector<int64_t>{1, 2}));
}

TEST(Dataset, SelectRefusesWhatTheDataDoNotHave) {
  const Dataset data = toy_memory();
  const Schema all = toy_schema();
  const auto select = [&](Field field, std::vector<std::string> labels = {"click"}) {
    return config_error([&] { data.select(Schema({std::move(field)}, std::move(labels))); });
  };
  EXPECT_THAT(select(make_field("item_ids", FieldKind::categorical, 9)),
              HasSubstr("there is no field 'item_ids'; did you mean 'item_id'"));
  EXPECT_THAT(select(make_field("item_id", FieldKind::categorical, 10)),
              HasSubstr("'item_id': the data were prepared with 9 rows"));
  EXPECT_THAT(select(make_field("age", FieldKind::categorical, 3)),
              HasSubstr("'age': the data hold a numeric field, the model asks for a categorical field"));
  Field image = all.field("image");
  image.dimension = 3;
  EXPECT_THAT(select(image), HasSubstr("(dimension 2), the model has 0 (3)"));
  Field tags = all.field("tags");
  tags.weighted = false;
  EXPECT_THAT(select(tags), HasSubstr("'tags': weights or pairing differ"));
  EXPECT_THAT(select(all.field("age"), {"clicks"}), HasSubstr("no such label (labels: click, like)"));
}

TEST(Dataset, RowsOutsideItAreRefused) {
  const Dataset data = toy_memory();
  for (const auto& [first, count] :
       std::vector<std::pair<int64_t, int64_t>>{{-1, 1}, {0, -1}, {10, 1}, {3, 8}, {0, INT64_MAX}}) {
    EXPECT_THAT(config_error([&, f = first, c = count] { data.slice(f, c); }), HasSubstr("it has 10"));
  }
  EXPECT_THAT(config_error([&] { data.gather(std::vector<int64_t>{0, 10}); }), HasSubstr("row 10"));
  EXPECT_THAT(config_error([&] { data.gather(std::vector<int64_t>{-1}); }), HasSubstr("row -1"));
}

TEST(Dataset, WithoutRowsGivesEmptyTensors) {
  const Dataset data = Dataset::from(toy_schema(), {});
  EXPECT_EQ(data.rows(), 0);
  const Batch batch = data.slice(0, 0);
  EXPECT_EQ(batch.features.ids.sizes(), (std::vector<int64_t>{0, 2}));
  EXPECT_THAT(values<int64_t>(batch.features.sequences[0].offsets), ElementsAre(0));
}

TEST(Dataset, RowsInMemoryMayHaveNoLabels) {
  EncodedBatch rows = toy_rows(0, 3, /*side_columns=*/false);
  rows.labels.clear();
  const Dataset data = Dataset::from(toy_schema(), {rows});
  EXPECT_FALSE(data.has_labels() || data.has_weight() || data.has_group());
  EXPECT_FALSE(data.slice(0, 3).labels.defined());
  EXPECT_FALSE(data.slice(0, 3).weight.defined());
}

TEST(Dataset, BatchesWithDifferentColumnsAreRefused) {
  EXPECT_THAT(data_error([] {
                Dataset::from(toy_schema(), {toy_rows(0, 2), toy_rows(2, 2, false)});
              }),
              HasSubstr("batch 1: it has not the same label, weight, group and time columns as the first"));
}

/// What is said of toy_rows(0, 4) after a change.
std::string said_of(const std::function<void(EncodedBatch&)>& change) {
  EncodedBatch rows = toy_rows(0, 4);
  change(rows);
  const std::string as_data = data_error([&] { Dataset::from(toy_schema(), {rows}); });
  const std::string as_batch = data_error([&] { to_batch(rows, toy_schema()); });
  EXPECT_EQ(as_data.substr(as_data.find(": ", as_data.find("batch"))), as_batch.substr(as_batch.find(": ")));
  return as_data;
}

TEST(Dataset, IdsOutsideTheirTableAreRefusedWithRowAndField) {
  EXPECT_THAT(said_of([](auto& b) { b.ids[7] = 9; }), HasSubstr("row 3: id 9 of field 'item_id'"));
  EXPECT_THAT(said_of([](auto& b) { b.ids[4] = -1; }), HasSubstr("row 2: id -1 of field 'user_id'"));
  EXPECT_THAT(said_of([](auto& b) { b.sequences[0].ids[3] = 9; }), HasSubstr("row 3: id 9 of field 'hist'"));
  EXPECT_THAT(said_of([](auto& b) { b.sequences[2].ids[0] = INT32_MIN; }), HasSubstr("row 1: id -2147483648"));
}

TEST(Dataset, OffsetsThatDoNotFitAreRefused) {
  EXPECT_THAT(said_of([](auto& b) { b.sequences[2].offsets[0] = 1; }), HasSubstr("begins at offset 1, expected 0"));
  EXPECT_THAT(said_of([](auto& b) {
                b.sequences[2].offsets = {0, 2, 1, 1, 2};
              }),
              HasSubstr("row 1: sequence 'tags' spans entries 2 to 1"));
  EXPECT_THAT(said_of([](auto& b) { b.sequences[2].offsets[4] = 1; }), HasSubstr("offsets end at 1"));
  EXPECT_THAT(said_of([](auto& b) { b.sequences[2].offsets[4] = 3; }), HasSubstr("spans entries 1 to 3 of 2"));
  EXPECT_THAT(said_of([](auto& b) { b.sequences[1].offsets = {0, 1, 1, 3, 6}; }), HasSubstr("paired but differ"));
}

TEST(Dataset, PartsOfTheWrongSizeAreRefused) {
  EXPECT_THAT(said_of([](auto& b) { b.ids.pop_back(); }), HasSubstr("ids has 7 values, expected 8"));
  EXPECT_THAT(said_of([](auto& b) { b.dense.push_back(0); }), HasSubstr("dense has 5 values, expected 4"));
  EXPECT_THAT(said_of([](auto& b) { b.labels.pop_back(); }), HasSubstr("labels has 7 values, expected 8"));
  EXPECT_THAT(said_of([](auto& b) { b.weight.push_back(1); }), HasSubstr("weight has 5 values, expected 4"));
  EXPECT_THAT(said_of([](auto& b) { b.vectors[0].pop_back(); }), HasSubstr("image has 7 values, expected 8"));
  EXPECT_THAT(said_of([](auto& b) { b.vectors.clear(); }), HasSubstr("vectors has 0 values, expected 1"));
  EXPECT_THAT(said_of([](auto& b) { b.sequences.pop_back(); }), HasSubstr("sequences has 2 values, expected 3"));
  EXPECT_THAT(said_of([](auto& b) { b.sequences[2].weights.pop_back(); }),
              HasSubstr("tags (weights) has 1 values, expected 2"));
  EXPECT_THAT(said_of([](auto& b) { b.sequences[0].offsets.pop_back(); }),
              HasSubstr("hist (offsets) has 4 values, expected 5"));
}

TEST(Dataset, DamageIsFoundWhenItsBatchIsTouchedAndNotBefore) {
  const TempDir dir;
  const int64_t block = DatasetWriter::kBlockRows;
  testing::write_toy_data(dir.path(), 2 * block);
  const auto file = dir / "train-00000.arrow";
  testing::damage(file, std::filesystem::file_size(file) / 4 * 3);  // inside the second of two batches
  const Dataset data = Dataset::open(dir.path(), "train");
  EXPECT_EQ(data.slice(block - 2, 2).rows(), 2);
  for (int attempt = 0; attempt < 2; ++attempt) {  // not only the first time
    EXPECT_THAT(data_error([&] { data.slice(block - 1, 2); }), HasSubstr("train-00000.arrow"));
  }
  EXPECT_THAT(data_error([&] { data.verify(); }), HasSubstr("train-00000.arrow"));
}

}  // namespace
}  // namespace interplay::dataset_test
