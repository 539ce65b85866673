#include <gmock/gmock.h>

#include <arrow/io/compressed.h>
#include <arrow/io/file.h>
#include <arrow/util/compression.h>
#include <sys/stat.h>

#include <interplay/base/files.h>

#include "reader_support.h"

namespace interplay::testing::reader_delimited_test {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

ReadRequest request_of(std::vector<std::filesystem::path> files, int64_t tolerated = 0,
                       const std::filesystem::path& rejected = {}) {
  ReadRequest request;
  request.files = std::move(files);
  request.bad_rows = std::make_shared<BadRows>(tolerated, rejected);
  return request;
}

std::filesystem::path compress(const std::filesystem::path& file, const std::string& text,
                               arrow::Compression::type type) {
  const auto codec = *arrow::util::Codec::Create(type);
  const auto raw = *arrow::io::FileOutputStream::Open(file.string());
  const auto out = *arrow::io::CompressedOutputStream::Make(codec.get(), raw);
  EXPECT_TRUE(out->Write(text.data(), int64_t(text.size())).ok() && out->Close().ok());
  return file;
}

TEST(DelimitedReader, TheFirstLineNamesTheColumns) {
  const TempDir dir;
  const Read got = read("csv", dir.write("a.csv", "label,C1\n1,x\n0,\n"));
  EXPECT_THAT(got.columns, ElementsAre("label", "C1"));
  EXPECT_EQ(got.rows, (Table{{"1", "x"}, {"0", "-"}}));
  EXPECT_THAT(got.lines, ElementsAre(2, 3));
}

TEST(DelimitedReader, AListOfNamesStandsForTheHeader) {
  const TempDir dir;
  const Read got = read("{name: tsv, header: [label, I1, C1]}", dir.write("a.txt", "1\t\tx\n0\t5\ty"));
  EXPECT_EQ(got.rows, (Table{{"1", "-", "x"}, {"0", "5", "y"}}));
  EXPECT_THAT(got.lines, ElementsAre(1, 2));
}

TEST(DelimitedReader, WantedColumnsComeInTheOrderAsked) {
  const TempDir dir;
  auto request = request_of({dir.write("a.csv", "a,b,c\n1,2,3\n")});
  request.columns = {"c", "a"};
  EXPECT_EQ(read("csv", request).rows, (Table{{"3", "1"}}));
}

TEST(DelimitedReader, QuotedValuesMayHoldSeparatorsAndQuotes) {
  const TempDir dir;
  const auto file = dir.write("a.csv", "a,b\n\"x, \"\"y\"\"\",5\" pipe\n");
  EXPECT_EQ(read("csv", file).rows, (Table{{"x, \"y\"", "5\" pipe"}}));
}

TEST(DelimitedReader, TabSeparatedTextKnowsNoQuotes) {
  const TempDir dir;
  EXPECT_EQ(read("tsv", dir.write("a.tsv", "a\tb\n\"x\t\"\"\n")).rows, (Table{{"\"x", "\"\""}}));
}

TEST(DelimitedReader, ByteOrderMarkBlankLinesAndCrLfAreTakenCareOf) {
  const TempDir dir;
  const Read got = read("csv", dir.write("a.csv",
                                         "\xef\xbb\xbf"
                                         "a,b\r\n\r\n1,2\r\n\n3,4\r\n\r\n"));
  EXPECT_THAT(got.columns, ElementsAre("a", "b"));
  EXPECT_EQ(got.rows, (Table{{"1", "2"}, {"3", "4"}}));
  EXPECT_THAT(got.lines, ElementsAre(3, 5));
}

TEST(DelimitedReader, SeparatorsOfSeveralBytesAndLatin1) {
  const TempDir dir;
  const auto file = dir.write("movies.dat", "1::Toy: Story::Animation|Comedy\n2::Caf\xe9::\n");
  const Read got =
      read("{name: csv, separator: '::', quote: false, encoding: latin1, header: [id, title, genres]}", file);
  EXPECT_EQ(got.rows, (Table{{"1", "Toy: Story", "Animation|Comedy"}, {"2", "Caf\xc3\xa9", "-"}}));
}

TEST(DelimitedReader, FilesFollowOneAnother) {
  const TempDir dir;
  const auto a = dir.write("1.csv", "a\n1\n2\n"), b = dir.write("2.csv", "a\n3");
  const Read got = read("csv", request_of({a, b}));
  EXPECT_EQ(got.rows, (Table{{"1"}, {"2"}, {"3"}}));
  EXPECT_THAT(got.lines, ElementsAre(2, 3, 2));
}

TEST(DelimitedReader, BatchesHoldAtMostTheRowsAsked) {
  const TempDir dir;
  auto request = request_of({dir.write("a.csv", "a\n1\n2\n3\n4\n5\n")});
  request.batch_rows = 2;
  const Read got = read("csv", request);
  EXPECT_EQ(got.rows.size(), 5u);
  EXPECT_EQ(got.batches, 3);
}

TEST(DelimitedReader, CompressedFilesReadAsPlainOnes) {
  const TempDir dir;
  std::string text = "a,b\n";
  for (int i = 0; i < 50000; ++i) text += fmt::format("{},{}\n", i, i * 7 % 1000);
  const Read plain = read("csv", dir.write("a.csv", text));
  ASSERT_EQ(plain.rows.size(), 50000u);
  EXPECT_EQ(read("csv", compress(dir / "a.csv.gz", text, arrow::Compression::GZIP)).rows, plain.rows);
  EXPECT_EQ(read("csv", compress(dir / "a.csv.zst", text, arrow::Compression::ZSTD)).rows, plain.rows);
  EXPECT_EQ(read("csv", compress(dir / "named-otherwise", text, arrow::Compression::GZIP)).rows, plain.rows);
}

TEST(DelimitedReader, BytesDoneReachTheTotal) {
  const TempDir dir;
  const auto reader =
      readers().make(request_of({dir.write("a.csv", "a\n1\n"), dir.write("b.csv", "a\n22\n")}), Config::parse("csv"));
  EXPECT_EQ(reader->bytes_total(), 9);
  read_all(*reader);
  EXPECT_EQ(reader->bytes_done(), 9);
}

TEST(DelimitedReader, LinesAreRightAcrossManyBlocks) {
  const TempDir dir;
  std::string text = "n,filler\n";
  for (int line = 2; line < 60000; ++line) {
    text += line % 1000 == 7 ? "\n" : fmt::format("{},{}\n", line, std::string(size_t(line % 97), 'x'));
  }
  const Read got = read("csv", dir.write("a.csv", text));
  EXPECT_GT(got.batches, 2);
  for (size_t i = 0; i < got.rows.size(); ++i) ASSERT_EQ(got.rows[i][0], fmt::format("{}", got.lines[i]));
}

TEST(DelimitedReader, ARowOfAnotherWidthStopsWithFileAndLine) {
  const TempDir dir;
  const auto file = dir.write("a.csv", "a,b\n1,2\n1,2,3\n");
  EXPECT_THAT(error_of([&] { read("csv", file); }),
              HasSubstr("a.csv:3: '1,2,3' has 3 values, but there are 2 columns; mend the row"));
}

TEST(DelimitedReader, ToleratedBadRowsAreLeftOutCountedAndWritten) {
  const TempDir dir;
  std::string text = "a\tb\n1\t2\n3\n4\t\xff\n5\t6\r7\n" + std::string(300, 'x') + "\n8\t9\n\t\t\n10\t11";
  auto request = request_of({dir.write("a.tsv", text)}, 5, dir / "rejected.tsv");
  const Read got = read("{name: tsv, max_line_bytes: 200}", request);
  EXPECT_EQ(got.rows, (Table{{"1", "2"}, {"8", "9"}, {"10", "11"}}));
  EXPECT_THAT(got.lines, ElementsAre(2, 7, 9));
  EXPECT_EQ(request.bad_rows->count(), 5);
  const std::string rejected = read_file(dir / "rejected.tsv");
  EXPECT_THAT(rejected,
              AllOf(HasSubstr("a.tsv\t3\t\t3\thas 1 values"), HasSubstr("a.tsv\t4\tb\t\\xff\tis not UTF-8"),
                    HasSubstr("a.tsv\t5\t\t5\\t6\\r7\thas a carriage return"),
                    HasSubstr("\tis longer than max_line_bytes"), HasSubstr("a.tsv\t8\t\t\\t\\t\thas 3 values")));
}

TEST(DelimitedReader, OneBadRowMoreThanToleratedStops) {
  const TempDir dir;
  const auto request = request_of({dir.write("a.csv", "a,b\n1\n2\n3\n")}, 2);
  EXPECT_THAT(error_of([&] { read("csv", request); }), AllOf(HasSubstr("a.csv:4"), HasSubstr("the limit allows")));
}

TEST(DelimitedReader, AQuotedValueMayHoldLineBreaks) {
  const TempDir dir;
  const Read got = read(
      "csv", dir.write("a.csv", "a,\"b\nB\"\r\n1,\"two\nli\"\"nes\"\n3,4\r\n\"x\r\n\n\"\"0,ghost\",5\n6,\"7\n\"\n"));
  EXPECT_THAT(got.columns, ElementsAre("a", "b\nB"));
  EXPECT_EQ(got.rows, (Table{{"1", "two\nli\"nes"}, {"3", "4"}, {"x\r\n\n\"0,ghost", "5"}, {"6", "7\n"}}));
  EXPECT_THAT(got.lines, ElementsAre(3, 5, 6, 9));
}

TEST(DelimitedReader, RowsOfManyLinesAreReadAcrossBuffers) {
  const TempDir dir;
  std::string text = "n,note,m\n";
  Table expected;
  std::vector<int64_t> lines;
  int64_t line = 2;
  for (int i = 0; i < 3000; ++i) {
    std::string note = fmt::format("note {}", i);
    lines.push_back(line);
    for (int k = 0; k < i % 40; ++k) note += "\n1,2,3" + std::string(size_t(i % 31), 'x'), ++line;
    text += fmt::format("{},\"{}\",{}\n", i, note, -i);
    expected.push_back({std::to_string(i), note, std::to_string(-i)});
    ++line;
  }
  ASSERT_GT(text.size(), size_t(1) << 20);
  const Read got = read("csv", dir.write("a.csv", text));
  EXPECT_EQ(got.rows, expected);
  EXPECT_EQ(got.lines, lines);
}

TEST(DelimitedReader, WhatAQuotedValueThatDoesNotEndRunsThroughIsLeftOut) {
  const TempDir dir;
  for (const auto& [text, bad] : {std::pair("a,b\n8,9\n1,\"two\n0,ghost\n3,4\n", 3),  // to the file's end
                                  {"a,b\n8,9\n1,\"two\n0,ghost\n3,\"4\"\n", 3},       // up to another value
                                  {"a,b\r\n8,9\r\n\"two\r\n0,\"\"gh\"\"\r\nost\" x,1\r\n", 3}}) {  // text after its end
    const auto file = dir.write("a.csv", text);
    EXPECT_THAT(error_of([&] { read("csv", file); }), AllOf(HasSubstr("a.csv:3:"), HasSubstr("does not end")));
    const auto request = request_of({file}, bad, dir / "rejected.tsv");
    const Read got = read("csv", request);
    EXPECT_EQ(got.rows, (Table{{"8", "9"}})) << text;
    EXPECT_EQ(request.bad_rows->count(), bad);
    EXPECT_THAT(read_file(dir / "rejected.tsv"), HasSubstr("a.csv\t4\t\t0,"));
    EXPECT_THAT(error_of([&] { read("csv", request_of({file}, bad - 1)); }), HasSubstr("begins on line 3"));
  }
  // Beyond max_line_bytes nothing says what is a row: that stops, whatever is tolerated.
  const auto endless = dir.write("b.csv", "a,b\n1,\"two\n" + std::string(3000, '\n') + "0,ghost\n");
  EXPECT_THAT(error_of([&] { read("{name: csv, max_line_bytes: 1000}", request_of({endless}, 9999)); }),
              AllOf(HasSubstr("b.csv:2: a quoted value begins here"), HasSubstr("max_line_bytes: 1000")));
}

TEST(DelimitedReader, ColumnsWithoutANameAreLeftAlone) {
  const TempDir dir;
  const auto index = dir.write("a.csv", ",label,user\n0,1,u1\n1,0,u2\n");  // as DataFrame.to_csv() writes
  EXPECT_THAT(read("csv", index).columns, ElementsAre("label", "user"));
  EXPECT_EQ(read("csv", index).rows, (Table{{"1", "u1"}, {"0", "u2"}}));
  EXPECT_EQ(read("csv", dir.write("b.csv", "label,user,\n1,u1,\n")).rows, (Table{{"1", "u1"}}));
  auto request = request_of({dir.write("c.csv", "a,b,a\n1,2,3\n")});
  EXPECT_EQ(read("csv", request).rows, (Table{{"2"}}));
  request.columns = {"b"};
  EXPECT_EQ(read("csv", request).rows, (Table{{"2"}}));
  request.columns = {"b", "a"};
  EXPECT_THAT(error_of([&] { read("csv", request); }), HasSubstr("c.csv: there are several columns 'a'"));
  EXPECT_THAT(error_of([&] { read("{name: csv, header: [a, a]}", index); }), HasSubstr("names column 'a' twice"));
}

TEST(DelimitedReader, FilesMayHaveTheirColumnsInAnyOrder) {
  const TempDir dir;
  auto request = request_of({dir.write("1.csv", "a,b\n1,2\n"), dir.write("2.csv", "b,new,a\n4,x,3\n"),
                             dir.write("3.csv", "b,new,a\n6,y,5\n")});
  const Read got = read("csv", request);
  EXPECT_THAT(got.columns, ElementsAre("a", "b"));  // that all have
  EXPECT_EQ(got.rows, (Table{{"1", "2"}, {"3", "4"}, {"5", "6"}}));
  request.columns = {"b"};
  EXPECT_EQ(read("csv", request).rows, (Table{{"2"}, {"4"}, {"6"}}));
  request.columns = {"new"};
  EXPECT_THAT(error_of([&] { read("csv", request); }), HasSubstr("1.csv: there is no column 'new'"));
  std::reverse(request.files.begin(), request.files.end());
  EXPECT_THAT(error_of([&] { read("csv", request); }), HasSubstr("1.csv: there is no column 'new'"));
}

TEST(DelimitedReader, ALineFarLongerThanAnyBufferIsOneBadRow) {
  const TempDir dir;
  const auto file =
      dir.write("a.csv", "a,b\n1,2\n" + std::string(5 << 20, 'x') + "\n3,4\n" + std::string(3 << 20, 'y'));
  EXPECT_THAT(error_of([&] { read("csv", file); }), AllOf(HasSubstr("a.csv:3:"), HasSubstr("max_line_bytes")));
  const auto request = request_of({file}, 2);
  const Read got = read("csv", request);
  EXPECT_THAT(got.lines, ElementsAre(2, 4));
  EXPECT_EQ(request.bad_rows->count(), 2);
}

TEST(DelimitedReader, TextSplitWithinACharacterIsNotUtf8) {
  const TempDir dir;  // the two cells together would be one valid character
  const auto request = request_of({dir.write("a.csv", "a,b\n\xc3,\xa9\n")}, 1);
  EXPECT_TRUE(read("csv", request).rows.empty());
}

TEST(DelimitedReader, MissingColumnsAreNamedWithTheNearest) {
  const TempDir dir;
  auto request = request_of({dir.write("a.csv", "label,user_id\n1,2\n")});
  request.columns = {"label", "user_di"};
  EXPECT_THAT(
      error_of([&] { read("csv", request); }),
      AllOf(HasSubstr("a.csv: there is no column 'user_di'; did you mean 'user_id'?"), HasSubstr("label, user_id")));
}

TEST(DelimitedReader, EmptyMissingAndForeignFilesAreRefusedByName) {
  const TempDir dir;
  EXPECT_THAT(error_of([&] { read("csv", dir.write("empty.csv", "")); }), HasSubstr("empty.csv: is empty"));
  EXPECT_THAT(error_of([&] { read("{name: csv, header: [a]}", dir.write("empty.csv", "\n\n")); }),
              HasSubstr("is empty"));
  EXPECT_THAT(error_of([&] { read("csv", dir.write("empty.csv.gz", "")); }), HasSubstr("empty.csv.gz: is empty"));
  EXPECT_THAT(error_of([&] { read("csv", dir / "emty.csv"); }),
              AllOf(HasSubstr("no such file"), HasSubstr("empty.csv")));
  EXPECT_THAT(error_of([&] { read("csv", dir.path()); }), HasSubstr("is a directory"));
  EXPECT_THAT(error_of([&] { read("csv", dir.write("a.csv", "PAR1xxxx")); }), HasSubstr("format: parquet"));
  EXPECT_THAT(error_of([&] {
                read("csv", dir.write("a.csv", std::string("\xff\xfe"
                                                           "a\0",
                                                           4)));
              }),
              HasSubstr("UTF-16"));
  const std::pair<std::string, const char*> foreign[] = {{std::string("a\0,\0b\0\n\0", 8), "UTF-16LE"},
                                                         {std::string("\0a\0,\0b\0\n", 8), "UTF-16BE"},
                                                         {"PK\x03\x04rest of it", "is a zip file"},
                                                         {"BZh91AY&SY", "bzip2"},
                                                         {std::string("\xfd"
                                                                      "7zXZ\0..",
                                                                      8),
                                                          "xz"},
                                                         {"ARROW1..", "Feather"},
                                                         {"FEA1....", "Feather"}};
  for (const auto& [bytes, what] : foreign) {
    const auto file = dir.write("a.csv", bytes);
    EXPECT_THAT(error_of([&] { read("csv", file); }), AllOf(HasSubstr("a.csv: "), HasSubstr(what)));
    EXPECT_THAT(error_of([&] { read("{name: csv, header: [a]}", file); }), HasSubstr(what));
  }
}

TEST(DelimitedReader, WhatIsNoFileIsNamed) {
  const TempDir dir;
  std::filesystem::create_symlink("nowhere.csv", dir / "dangling.csv");
  EXPECT_THAT(error_of([&] { read("csv", dir / "dangling.csv"); }),
              HasSubstr("is a link to nowhere.csv, which is not"));
  EXPECT_THAT(error_of([&] { expand_glob(dir / "dangling.csv"); }),
              HasSubstr("is a link to nowhere.csv, which is not"));
  ASSERT_EQ(::mkfifo((dir / "fifo").c_str(), 0600), 0);
  EXPECT_THAT(error_of([&] { read("csv", dir / "fifo"); }), HasSubstr("is a pipe or a device"));
  EXPECT_THAT(error_of([&] { read("csv", "/dev/null"); }), HasSubstr("is a pipe or a device"));
}

TEST(DelimitedReader, ACutOrAlteredCompressedFileIsRefusedByNameWhereverItIsCut) {
  const TempDir dir;
  std::string text = "a,b\n";
  for (int i = 0; i < 300; ++i) text += fmt::format("{},{}\n", i, i * i);
  for (const auto& [name, type] : {std::pair("a.gz", arrow::Compression::GZIP), {"a.zst", arrow::Compression::ZSTD}}) {
    const std::string whole = read_file(compress(dir / name, text, type));
    for (size_t bytes = 0; bytes < whole.size(); ++bytes) {
      const auto cut = dir.write(std::string("cut-") + name, whole.substr(0, bytes));
      ASSERT_THAT(error_of([&] { read("csv", cut); }), HasSubstr(cut.string())) << bytes << " of " << whole.size();
    }
  }
}

TEST(DelimitedReader, AnyBytesAreRowsOrAnError) {
  const TempDir dir;  // hostile input: never a crash, every row has its two cells
  const std::string alphabet = std::string("ab,\"\n\r\t\xff\xc3\xa9::\x1f") + '\0';
  uint64_t state = 7;
  for (int trial = 0; trial < 300; ++trial) {
    std::string text = "a,b\n";
    for (int i = 0; i < 200; ++i) {
      state = state * 6364136223846793005ULL + 1442695040888963407ULL;
      text += alphabet[(state >> 33) % alphabet.size()];
    }
    const auto file = dir.write("fuzz.csv", text);
    for (const char* format : {"csv", "{name: tsv, header: [a, b]}",
                               "{name: csv, separator: '::', quote: false, encoding: latin1, header: [a, b]}"}) {
      for (const auto& row : read(format, request_of({file}, 1000)).rows) ASSERT_EQ(row.size(), 2u);
    }
  }
}

TEST(DelimitedReader, OptionsThatCannotWorkAreRefused) {
  const TempDir dir;
  const auto file = dir.write("a.csv", "a\n1\n");
  EXPECT_THAT(error_of([&] { read("{name: csv, header: false}", file); }, 2), HasSubstr("list of their column names"));
  EXPECT_THAT(error_of([&] { read("{name: csv, separator: '::'}", file); }, 2), HasSubstr("quote: false"));
  EXPECT_THAT(error_of([&] { read("{name: csv, separator: ''}", file); }, 2), HasSubstr("separator"));
  EXPECT_THAT(error_of([&] { read("{name: csv, seperator: ';'}", file); }, 2), HasSubstr("separator"));
  EXPECT_THAT(error_of([&] { read("cvs", file); }, 2), HasSubstr("csv"));
}

}  // namespace
}  // namespace interplay::testing::reader_delimited_test
