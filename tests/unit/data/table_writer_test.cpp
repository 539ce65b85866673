#include <gmock/gmock.h>

#include <limits>

#include <interplay/base/files.h>
#include <interplay/data/table_writer.h>

#include "reader_support.h"

namespace interplay::testing::table_writer_test {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using Kind = TableWriter::Kind;

const std::vector<TableWriter::Column> kColumns = {
    {"user", Kind::text}, {"p", Kind::float32}, {"logit", Kind::float64}, {"row", Kind::int64}};
const std::vector<float> kP = {0.1f, 1e-7f, 1.0f};
const std::vector<double> kLogit = {0.1, -std::numeric_limits<double>::infinity(), 1.0 / 3};
const std::vector<int64_t> kRow = {1, -2, std::numeric_limits<int64_t>::max()};

void write(const std::filesystem::path& file, const std::vector<std::string>& users, int batches = 1) {
  TableWriter out(file, kColumns);
  for (int i = 0; i < batches; ++i) {
    out.write({make_raw_column("user", users), std::span(kP), std::span(kLogit), std::span(kRow)});
  }
  EXPECT_FALSE(std::filesystem::exists(file));
  out.close();
  EXPECT_EQ(out.rows(), batches * 3);
}

TEST(TableWriter, CsvQuotesOnlyWhereItMust) {
  const TempDir dir;
  write(dir / "a.csv", {"plain", "a,\"b\"", ""});
  EXPECT_EQ(
      read_file(dir / "a.csv"),
      "user,p,logit,row\nplain,0.1,0.1,1\n\"a,\"\"b\"\"\",1e-07,-inf,-2\n,1,0.3333333333333333,9223372036854775807\n");
}

TEST(TableWriter, TsvIsPlain) {
  const TempDir dir;
  write(dir / "a.tsv", {"a \"b\"", "c,d", "e"});
  EXPECT_THAT(read_file(dir / "a.tsv"),
              AllOf(HasSubstr("a \"b\"\t0.1\t0.1\t1\n"), HasSubstr("c,d\t1e-07\t-inf\t-2\n")));
  EXPECT_THAT(error_of([&] {
                write(dir / "b.tsv", {"a\tb", "c", "d"});
              }),
              AllOf(HasSubstr("b.tsv"), HasSubstr(".parquet")));
  EXPECT_FALSE(std::filesystem::exists(dir / "b.tsv"));
}

TEST(TableWriter, WhatItWritesTheReadersRead) {
  const TempDir dir;
  const Table rows = {{"x, \"y\"", "0.1", "0.1", "1"},
                      {"-", "1e-07", "-inf", "-2"},
                      {"Caf\xc3\xa9", "1", "0.3333333333333333", "9223372036854775807"}};
  for (const char* format : {"csv", "tsv", "parquet"}) {
    const auto file = dir / (std::string("a.") + format);
    write(file, {"x, \"y\"", "", "Caf\xc3\xa9"}, 2);
    const Read got = read(format, file);
    ASSERT_EQ(got.rows.size(), 6u) << format;
    EXPECT_EQ(Table(got.rows.begin(), got.rows.begin() + 3), rows) << format;
    EXPECT_EQ(Table(got.rows.begin() + 3, got.rows.end()), rows) << format;
  }
}

TEST(TableWriter, ListsAreJoined) {
  const TempDir dir;
  TableWriter out(dir / "a.csv", {{"h", Kind::text}});
  out.write({make_raw_list_column("h", {{"1", "2"}, {}, {"3"}})});
  out.close();
  EXPECT_EQ(read_file(dir / "a.csv"), "h\n1|2\n\n3\n");
}

TEST(TableWriter, NothingAppearsWithoutClose) {
  const TempDir dir;
  {
    TableWriter out(dir / "a.csv", {{"p", Kind::float32}});
    out.write({std::span(kP)});
  }
  EXPECT_TRUE(std::filesystem::is_empty(dir.path()));
}

TEST(TableWriter, TargetsThatCannotBeWrittenAreRefused) {
  const TempDir dir;
  EXPECT_THAT(error_of([&] { TableWriter(dir / "a.json", kColumns); }, 2),
              AllOf(HasSubstr("a.json"), HasSubstr(".csv")));
  EXPECT_THAT(error_of(
                  [&] {
                    TableWriter(dir / "a.csv", {{"p", Kind::text}, {"p", Kind::text}});
                  },
                  2),
              HasSubstr("'p'"));
  EXPECT_THAT(error_of([&] { TableWriter(dir / "none" / "a.csv", kColumns); }), HasSubstr("a.csv: cannot be written"));
  EXPECT_THAT(error_of([&] { TableWriter(dir / "none" / "a.parquet", kColumns); }), HasSubstr("cannot be written"));
}

}  // namespace
}  // namespace interplay::testing::table_writer_test
