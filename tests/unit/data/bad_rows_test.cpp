#include <gmock/gmock.h>

#include <thread>

#include <interplay/base/files.h>

#include "reader_support.h"

namespace interplay::testing::bad_rows_test {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

TEST(BadRows, TheFirstStopsWithFileLineColumnValueAndRemedy) {
  BadRows bad_rows;  // whose user has no option to name
  EXPECT_EQ(error_of([&] { bad_rows.report("train.tsv", 17, "I3", "x1", "is not a number"); }),
            "train.tsv:17: I3 = 'x1' is not a number; mend the row");
  BadRows with_option(0, {}, "--bad-rows skip:");
  EXPECT_EQ(error_of([&] { with_option.report("train.tsv", 17, "I3", "x1", "is not a number"); }),
            "train.tsv:17: I3 = 'x1' is not a number; mend the row, or leave such rows out with --bad-rows skip:N");
  BadRows one(1, {}, "bad_rows: ");
  one.report("train.tsv", 17, "I3", "x1", "is not a number");
  EXPECT_EQ(error_of([&] { one.report("train.tsv", 18, "I\x1b[m", "x1", "is not a number"); }),
            "train.tsv:18: I\\x1b[m = 'x1' is not a number; 1 bad rows were left out already, as many as bad_rows: 1 "
            "allows");
}

TEST(BadRows, ARowOfNoFileIsNamedByItsNumber) {
  BadRows bad_rows;
  EXPECT_EQ(error_of([&] { bad_rows.report("", 3, "age", "x", "is not a number"); }),
            "row 3: age = 'x' is not a number; mend the row");
}

TEST(BadRows, ARowIsCountedOnceWhateverIsWrongWithItAndHoweverOftenItIsRead) {
  const TempDir dir;
  BadRows bad_rows(2, dir / "rejected.tsv");
  for (int pass = 0; pass < 3; ++pass) {
    bad_rows.report("a.tsv", 1, "x", "?", "is not a number");
    bad_rows.report("a.tsv", 1, "y", "?", "is not a number");
    bad_rows.report("b.tsv", 1, "y", "?", "is not a number");
  }
  EXPECT_EQ(bad_rows.count(), 2);
  EXPECT_EQ(read_file(dir / "rejected.tsv"),
            "file\tline\tcolumn\tvalue\treason\na.tsv\t1\tx\t?\tis not a number\nb.tsv\t1\ty\t?\tis not a number\n");
  EXPECT_THAT(error_of([&] { bad_rows.report("b.tsv", 2, "", "", "is empty"); }),
              AllOf(HasSubstr("b.tsv:2: is empty"),
                    HasSubstr("2 bad rows were left out already, as many as the limit allows")));
}

TEST(BadRows, TheFileEndsInTheOrderOfFilesAndLines) {
  const TempDir dir;
  BadRows bad_rows(9, dir / "rejected.tsv");
  for (const auto& [file, line] : std::vector<std::pair<const char*, int64_t>>{{"b", 2}, {"a", 10}, {"b", 1}, {"a", 9}})
    bad_rows.report(file, line, "x", "?", "is bad");
  bad_rows.finish();
  EXPECT_EQ(read_file(dir / "rejected.tsv"),
            "file\tline\tcolumn\tvalue\treason\na\t9\tx\t?\tis bad\na\t10\tx\t?\tis bad\nb\t1\tx\t?\tis bad\n"
            "b\t2\tx\t?\tis bad\n");
  EXPECT_EQ(bad_rows.count(), 4);
  BadRows none(9, dir / "none.tsv");
  none.finish();
  EXPECT_FALSE(std::filesystem::exists(dir / "none.tsv"));
}

TEST(BadRows, MessagesAreOneLineAndCutLongOrBinaryValues) {
  BadRows bad_rows;
  const std::string message =
      error_of([&] { bad_rows.report("a", 1, "c", "tab\there\x01\xff" + std::string(500, 'x'), "is bad"); });
  EXPECT_THAT(message, AllOf(HasSubstr("tab\\there\\x01\\xffxx"), HasSubstr("... (510 bytes)")));
  EXPECT_LT(message.size(), 260u);
}

TEST(BadRows, NothingIsWrittenWhileAllRowsAreGood) {
  const TempDir dir;
  { BadRows bad_rows(5, dir / "rejected.tsv"); }
  EXPECT_FALSE(std::filesystem::exists(dir / "rejected.tsv"));
}

TEST(BadRows, ThreadsMayReportAtOnce) {
  BadRows bad_rows(4000);
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 1000; ++i) bad_rows.report("a", t * 1000 + i, "c", "v", "is bad");
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(bad_rows.count(), 4000);
}

}  // namespace
}  // namespace interplay::testing::bad_rows_test
