#include <gmock/gmock.h>

#include "reader_support.h"

namespace interplay::testing::raw_test {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

RawBatch toy() {
  RawBatch batch;
  batch.rows = 3;
  batch.file = "a.tsv";
  batch.lines = {2, 3, 5};
  batch.columns = {make_raw_column("x", {"one", "", "three"}), make_raw_list_column("y", {{"a", "b"}, {}, {"", "c"}})};
  return batch;
}

TEST(RawColumn, CellsAreWhatWentInAndEmptyOnesAreMissing) {
  const RawBatch batch = toy();
  EXPECT_EQ(batch.columns[0].cell(2), "three");
  EXPECT_TRUE(batch.columns[0].missing(1));
  EXPECT_FALSE(batch.columns[0].is_list());
  EXPECT_EQ(show(batch.columns[1], 0), "[a,b]");
  EXPECT_EQ(show(batch.columns[1], 1), "[]");
  EXPECT_EQ(show(batch.columns[1], 2), "[-,c]");
}

TEST(RawColumn, AnUnsetValidityBitIsMissingWhateverTheBytesSay) {
  RawColumn column = make_raw_column("x", {"a", "b", "c"});
  const uint8_t bits = 0b1010;  // from bit 1 on: set, unset, set
  column.validity = &bits;
  column.validity_offset = 1;
  EXPECT_FALSE(column.missing(0));
  EXPECT_TRUE(column.missing(1));
  EXPECT_FALSE(column.missing(2));
}

TEST(RawColumn, CopiesKeepTheCellsAlive) {
  RawColumn copy;
  {
    const RawBatch batch = toy();
    copy = batch.columns[0];
  }
  EXPECT_EQ(copy.cell(0), "one");
}

TEST(RawBatch, TakenRowsKeepOrderLinesAndMissingCells) {
  const int64_t rows[] = {2, -1, 0, 2};
  const RawBatch taken = take_rows(toy(), rows);
  EXPECT_EQ(taken.rows, 4);
  EXPECT_THAT(taken.lines, ElementsAre(5, 0, 2, 5));
  const auto column = [&](size_t c) {
    std::vector<std::string> cells;
    for (int64_t row = 0; row < taken.rows; ++row) cells.push_back(show(taken.columns[c], row));
    return cells;
  };
  EXPECT_THAT(column(0), ElementsAre("three", "-", "one", "three"));
  EXPECT_THAT(column(1), ElementsAre("[-,c]", "[]", "[a,b]", "[-,c]"));
}

TEST(RawBatch, ColumnsAreFoundByNameAndPlacesNameTheLine) {
  RawBatch batch = toy();
  EXPECT_EQ(&batch.column("y"), &batch.columns[1]);
  EXPECT_EQ(batch.find("z"), nullptr);
  EXPECT_THAT(error_of([&] { batch.column("z"); }), AllOf(HasSubstr("a.tsv"), HasSubstr("'z'"), HasSubstr("x, y")));
  EXPECT_EQ(batch.place(2), "a.tsv:5");
  batch.lines.clear();
  batch.file.clear();
  EXPECT_EQ(batch.place(2), "row 3");
}

TEST(RawBatch, ConcatenatedBatchesAreOneAfterAnother) {
  RawBatch a, b;
  a.rows = 2, b.rows = 1;
  a.file = "a", b.file = "b";
  a.lines = {2, 3}, b.lines = {7};
  a.columns = {make_raw_column("x", {"1", ""}), make_raw_list_column("y", {{"p", "q"}, {}})};
  b.columns = {make_raw_column("x", {"3"}), make_raw_list_column("y", {{"r"}})};
  const std::vector<RawBatch> parts = {a, b};
  const RawBatch all = concatenate(parts);
  EXPECT_EQ(all.rows, 3);
  EXPECT_THAT(all.lines, ElementsAre(2, 3, 7));
  EXPECT_EQ(show(all.columns[0], 2), "3");
  EXPECT_EQ(show(all.columns[1], 0) + show(all.columns[1], 1) + show(all.columns[1], 2), "[p,q][][r]");
}

}  // namespace
}  // namespace interplay::testing::raw_test
