#include <gmock/gmock.h>

#include "reader_support.h"

namespace interplay::testing::reader_glob_test {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(ExpandGlob, MatchesAreSortedByBytesAndAreFiles) {
  const TempDir dir;
  for (const char* name : {"day_10.csv", "day_2.csv", "Day_1.csv", "day_2.txt"}) dir.write(name, "x");
  std::filesystem::create_directory(dir / "day_3.csv");
  EXPECT_THAT(expand_glob(dir / "day_*.csv"), ElementsAre(dir / "day_10.csv", dir / "day_2.csv"));
  EXPECT_THAT(expand_glob(dir / "?ay_?.csv"), ElementsAre(dir / "Day_1.csv", dir / "day_2.csv"));
}

TEST(ExpandGlob, MarksOfSparkAreNoData) {
  const TempDir dir;
  for (const char* name : {"part-0.csv", "part-1.csv", "_SUCCESS", "_committed_1", ".part-0.csv.crc"})
    dir.write(name, "");
  EXPECT_THAT(expand_glob(dir / "*"), ElementsAre(dir / "part-0.csv", dir / "part-1.csv"));
  EXPECT_THAT(expand_glob(dir / "_*"), ElementsAre(dir / "_SUCCESS", dir / "_committed_1"));
  EXPECT_THAT(expand_glob(dir / "_SUCCESS"), ElementsAre(dir / "_SUCCESS"));
}

TEST(ExpandGlob, BracketsAreLetters) {
  const TempDir dir;
  dir.write("a[1]-x.csv", "x");
  dir.write("a1-x.csv", "x");
  EXPECT_THAT(expand_glob(dir / "a[1]*.csv"), ElementsAre(dir / "a[1]-x.csv"));
}

TEST(ExpandGlob, APlainPathIsItselfEvenWithAStarInItsName) {
  const TempDir dir;
  dir.write("a*.csv", "x");
  dir.write("ab.csv", "x");
  EXPECT_THAT(expand_glob(dir / "a*.csv"), ElementsAre(dir / "a*.csv"));
}

TEST(ExpandGlob, APackedFileStandsForThePlainOne) {
  const TempDir dir;
  dir.write("a.dat.gz", "x");
  EXPECT_THAT(expand_glob(dir / "a.dat"), ElementsAre(dir / "a.dat.gz"));
  dir.write("a.dat", "x");
  EXPECT_THAT(expand_glob(dir / "a.dat"), ElementsAre(dir / "a.dat"));
}

TEST(ExpandGlob, NothingFoundIsAnErrorNamingThePattern) {
  const TempDir dir;
  dir.write("train.csv", "x");
  EXPECT_THAT(error_of([&] { expand_glob(dir / "*.parquet"); }), HasSubstr("*.parquet: no file matches"));
  EXPECT_THAT(error_of([&] { expand_glob(dir / "trian.csv"); }),
              AllOf(HasSubstr("no such file"), HasSubstr("train.csv?")));
}

}  // namespace
}  // namespace interplay::testing::reader_glob_test
