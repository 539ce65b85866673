#include <interplay/data/dataset_writer.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <interplay/base/error.h>

#include "data/store/row_source.h"
#include "support/temp_dir.h"
#include "support/toy_rows.h"

namespace interplay::dataset_writer_test {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::make_field;

constexpr int64_t kBlock = DatasetWriter::kBlockRows;

/// One categorical field: small enough to fill several record batches.
Schema narrow_schema() { return Schema({make_field("x", FieldKind::categorical, 1000)}, {"click"}); }

EncodedBatch narrow_rows(int64_t first, int64_t count) {
  EncodedBatch batch;
  batch.rows = count;
  for (int64_t r = first; r < first + count; ++r) {
    batch.ids.push_back(int32_t(r % 1000));
    batch.labels.push_back(float(r % 2));
  }
  return batch;
}

void write_narrow(const std::filesystem::path& directory, int64_t rows, int64_t step) {
  const Schema schema = narrow_schema();
  schema.save(directory / "schema.yaml");
  DatasetWriter writer(directory, "train", schema, false, false, false);
  for (int64_t row = 0; row < rows; row += step) writer.write(narrow_rows(row, std::min(step, rows - row)));
  EXPECT_EQ(writer.finish(), rows);
  Manifest::describe(directory, writer.entries()).save(directory);
}

std::string message_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::data) << error.what();
    return error.what();
  }
  return "no error";
}

/// A text of 7 tokens that come from two columns or none: row r has r % 3 of them.
Schema text_schema() {
  Field field = make_field("said", FieldKind::text);
  field.rows = 7;
  field.text_columns = {"a", "b"};
  return Schema({field}, {});
}

EncodedBatch text_rows(int64_t first, int64_t count) {
  EncodedBatch batch;
  batch.rows = count;
  auto& text = batch.texts.emplace_back();
  text.offsets.push_back(0);
  for (int64_t r = first; r < first + count; ++r) {
    for (int64_t i = 0; i < r % 3; ++i) text.ids.push_back(int32_t((r + i) % 7)), text.columns.push_back(int8_t(i - 1));
    text.offsets.push_back(int64_t(text.ids.size()));
  }
  return batch;
}

TEST(DatasetWriter, TextsReadBackInBlocksOfTheirOwn) {
  const testing::TempDir dir;
  const Schema schema = text_schema();
  schema.save(dir / "schema.yaml");
  const Schema again = Schema::load(dir / "schema.yaml");
  EXPECT_EQ(again.field("said").rows, 7);
  EXPECT_THAT(again.field("said").text_columns, ElementsAre("a", "b"));
  DatasetWriter writer(dir.path(), "train", schema, false, false, false);
  const int64_t rows = kBlock + 5;
  for (int64_t row = 0; row < rows; row += 1000) writer.write(text_rows(row, std::min<int64_t>(1000, rows - row)));
  EXPECT_EQ(writer.finish(), rows);
  Manifest::describe(dir.path(), writer.entries()).save(dir.path());
  const auto source = RowSource::open(dir.path(), "train");
  ASSERT_EQ(source->blocks(), 2);
  const RowBlock& last = source->block(1);  // rows kBlock + 0 .. 4; 65536 % 3 = 1: 1, 2, 0, 1, 2 tokens
  const auto& [tokens, columns] = last.texts.at(0);
  EXPECT_THAT(std::vector(tokens.offsets, tokens.offsets + 6), ElementsAre(0, 1, 3, 3, 4, 6));
  EXPECT_THAT(std::vector(columns, columns + 6), ElementsAre(-1, -1, 0, -1, -1, 0));
  const int first = int(kBlock % 7);  // 2
  EXPECT_THAT(std::vector(tokens.ids, tokens.ids + 6),
              ElementsAre(first, first + 1, first + 2, first + 3, first + 4, (first + 5) % 7));
}

TEST(DatasetWriter, TextsThatCannotBeAreRefused) {
  const testing::TempDir dir;
  const auto refusal = [&](const std::function<void(EncodedBatch::Text&)>& change) {
    EncodedBatch batch = text_rows(0, 3);
    change(batch.texts[0]);
    DatasetWriter writer(dir.path(), "train", text_schema(), false, false, false);
    return message_of([&] { writer.write(batch); });
  };
  EXPECT_THAT(refusal([](auto& t) { t.ids[1] = 7; }),
              HasSubstr("row 2: id 7 of field 'said' lies outside its 7 tokens"));
  EXPECT_THAT(refusal([](auto& t) { t.ids[1] = -1; }), HasSubstr("id -1 of field 'said'"));
  EXPECT_THAT(refusal([](auto& t) { t.columns[0] = 2; }), HasSubstr("a token of 'said' comes from column 2 of its 2"));
  EXPECT_THAT(refusal([](auto& t) { t.columns[0] = -2; }), HasSubstr("comes from column -2"));
  EXPECT_THAT(refusal([](auto& t) { t.columns.pop_back(); }), HasSubstr("said (columns) has 2 values, expected 3"));
  EXPECT_THAT(refusal([](auto& t) { t.offsets[1] = 3; }), HasSubstr("text 'said' spans entries 3 to 1 of 3"));
  EXPECT_THAT(refusal([](auto& t) { t.offsets.pop_back(); }), HasSubstr("said (offsets) has 3 values, expected 4"));
}

TEST(DatasetWriter, WhatIsWrittenReadsBack) {
  const testing::TempDir dir;
  testing::write_toy_data(dir.path(), 4);
  const auto source = RowSource::open(dir.path(), "train");
  ASSERT_EQ(source->rows(), 4);
  ASSERT_EQ(source->blocks(), 1);
  const RowBlock& block = source->block(0);
  const auto values = [](const auto* from, int64_t count) { return std::vector(from, from + count); };
  EXPECT_THAT(values(block.ids, 8), ElementsAre(0, 0, 1, 1, 2, 2, 3, 3));
  EXPECT_THAT(values(block.dense, 4), ElementsAre(0.f, .5f, 1.f, 1.5f));
  EXPECT_THAT(values(block.sequences[0].offsets, 5), ElementsAre(0, 0, 1, 3, 6));
  EXPECT_THAT(values(block.sequences[0].ids, 6), ElementsAre(1, 2, 3, 3, 4, 5));
  EXPECT_THAT(values(block.sequences[1].ids, 6), ElementsAre(1, 2, 3, 3, 4, 0));
  EXPECT_THAT(values(block.sequences[2].offsets, 5), ElementsAre(0, 0, 1, 1, 2));
  EXPECT_THAT(values(block.sequences[2].ids, 2), ElementsAre(1, 3));
  EXPECT_THAT(values(block.sequences[2].weights, 2), ElementsAre(1.25f, 3.25f));
  EXPECT_THAT(values(block.vectors[0], 8), ElementsAre(0, 0, 1, -1, 2, -2, 3, -3));
  EXPECT_THAT(values(block.labels, 8), ElementsAre(1, 1, 0, 0, 0, 0, 1, 0));
  EXPECT_THAT(values(block.weight, 4), ElementsAre(1, 2, 1, 2));
  EXPECT_THAT(values(block.group, 4), ElementsAre(0, 0, 0, 0));
  EXPECT_THAT(values(block.time, 4), ElementsAre(1000, 1001, 1002, 1003));
}

TEST(DatasetWriter, BytesDoNotDependOnHowTheRowsArrive) {
  const testing::TempDir once, pieces;
  write_narrow(once.path(), 2 * kBlock + 77, 2 * kBlock + 77);
  write_narrow(pieces.path(), 2 * kBlock + 77, 9973);
  EXPECT_EQ(read_file(once.path() / "train-00000.arrow"), read_file(pieces.path() / "train-00000.arrow"));
  EXPECT_EQ(read_file(once.path() / "manifest.json"), read_file(pieces.path() / "manifest.json"));
}

TEST(DatasetWriter, RowsFillBatchesAndFilesOfFixedSize) {
  const testing::TempDir dir;
  write_narrow(dir.path(), DatasetWriter::kFileRows + kBlock + 5, 3 * kBlock);
  EXPECT_TRUE(std::filesystem::exists(dir.path() / "train-00001.arrow"));
  EXPECT_FALSE(std::filesystem::exists(dir.path() / "train-00002.arrow"));
  const auto source = RowSource::open(dir.path(), "train");
  EXPECT_EQ(source->rows(), DatasetWriter::kFileRows + kBlock + 5);
  EXPECT_EQ(source->blocks(), 34);
  EXPECT_EQ(source->block(33).rows, 5);
  const int64_t row = DatasetWriter::kFileRows + 123;  // in the second file
  const int64_t block = source->block_of_row(row);
  EXPECT_EQ(block, 32);
  EXPECT_EQ(source->block(block).ids[row - source->first_row(block)], row % 1000);
}

TEST(DatasetWriter, AFullFileIsFollowedByNoEmptyOne) {
  const testing::TempDir dir;
  write_narrow(dir.path(), DatasetWriter::kFileRows, DatasetWriter::kFileRows);
  EXPECT_FALSE(std::filesystem::exists(dir.path() / "train-00001.arrow"));
}

TEST(DatasetWriter, SplitWithoutRowsOpensWithNone) {
  const testing::TempDir dir;
  write_narrow(dir.path(), 0, 1);
  EXPECT_EQ(RowSource::open(dir.path(), "train")->rows(), 0);
}

TEST(DatasetWriter, ChecksumsAreOneABatchAndOneForTheRest) {
  const testing::TempDir dir;
  write_narrow(dir.path(), 2 * kBlock + 1, kBlock);
  EXPECT_EQ(Manifest::load(dir.path()).find("train-00000.arrow")->blocks.size(), 4u);
}

TEST(DatasetWriter, BatchOfTheWrongSizeIsRefused) {
  const testing::TempDir dir;
  DatasetWriter writer(dir.path(), "train", testing::toy_schema(), true, true, true);
  EncodedBatch batch = testing::toy_rows(0, 3);
  batch.dense.pop_back();
  EXPECT_THAT(message_of([&] { writer.write(batch); }), HasSubstr("dense has 2 values, expected 3"));
}

TEST(DatasetWriter, IdOutsideItsTableIsRefused) {
  const testing::TempDir dir;
  DatasetWriter writer(dir.path(), "train", testing::toy_schema(), true, true, true);
  EncodedBatch batch = testing::toy_rows(0, 3);
  batch.ids[5] = 9;  // row 2, item_id
  EXPECT_THAT(message_of([&] { writer.write(batch); }),
              HasSubstr("row 2: id 9 of field 'item_id' lies outside its table of 9 rows"));
}

TEST(DatasetWriter, NegativeSequenceIdIsRefusedWithItsRow) {
  const testing::TempDir dir;
  DatasetWriter writer(dir.path(), "train", testing::toy_schema(), true, true, true);
  EncodedBatch batch = testing::toy_rows(0, 4);
  batch.sequences[0].ids[4] = -1;  // rows own 0, 1, 2, 3 entries
  EXPECT_THAT(message_of([&] { writer.write(batch); }), HasSubstr("row 3: id -1 of field 'hist'"));
}

TEST(DatasetWriter, PairedSequencesMustHaveTheSameLengths) {
  const testing::TempDir dir;
  DatasetWriter writer(dir.path(), "train", testing::toy_schema(), true, true, true);
  EncodedBatch batch = testing::toy_rows(0, 4);
  batch.sequences[1].offsets[1] = 1;  // rows then own 1, 0, 2, 3 ratings
  EXPECT_THAT(message_of([&] { writer.write(batch); }),
              HasSubstr("sequences 'hist_ratings' and 'hist' are paired but differ in length"));
}

TEST(DatasetWriter, OffsetsThatFallAreRefused) {
  const testing::TempDir dir;
  DatasetWriter writer(dir.path(), "train", testing::toy_schema(), true, true, true);
  EncodedBatch batch = testing::toy_rows(0, 4);
  batch.sequences[2].offsets[1] = int64_t(1) << 40;
  EXPECT_THAT(message_of([&] { writer.write(batch); }), HasSubstr("row 0: sequence 'tags' spans entries 0 to"));
}

TEST(DatasetWriter, FieldMayNotTakeTheNameOfAFixedColumn) {
  const testing::TempDir dir;
  const Schema schema({make_field("labels", FieldKind::sequence, 3)}, {"click"});
  EXPECT_THROW(DatasetWriter(dir.path(), "train", schema, false, false, false), Error);
}

TEST(DatasetWriter, DirectoryThatCannotBeWrittenIsNamed) {
  DatasetWriter writer("/nonexistent/here", "train", narrow_schema(), false, false, false);
  writer.write(narrow_rows(0, 1));
  EXPECT_THAT(message_of([&] { writer.finish(); }), HasSubstr("/nonexistent/here/train-00000.arrow"));
}

}  // namespace
}  // namespace interplay::dataset_writer_test
