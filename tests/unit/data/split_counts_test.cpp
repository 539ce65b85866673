#include <interplay/base/files.h>
#include <interplay/data/split_counts.h>

#include <cmath>
#include <filesystem>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <interplay/base/config.h>
#include <interplay/base/log.h>
#include <interplay/base/progress.h>
#include <interplay/data/prepare.h>

#include "support/error_of.h"
#include "support/temp_dir.h"

namespace interplay::split_counts_test {
namespace {

using ::testing::HasSubstr;

constexpr const char* kData = R"(
files: {train: train.csv, valid: valid.csv}
label: [click, {column: like, optional: true}]
time: at
fields:
  - {column: user}
  - {column: hashed, hash_buckets: 1000}
  - {column: age, kind: numeric}
  - {column: tags, kind: sequence, separator: " "}
)";
constexpr const char* kTrain =
    "user,hashed,age,tags,click,like,at\nu1,a,20,x y z,1,1,100\nu2,,,x,0,,300\nu1,b,40,,0,0,200\n";
constexpr const char* kValid = "user,hashed,age,tags,click,like,at\nu3,a,20,x w,1,1,400\n,,30,y,1,0,500\n";

class PreparedCounts : public ::testing::Test {
 protected:
  PreparedCounts() {
    log::set_level(log::Level::off);
    Progress::enable(false);
    dir_.write("data.yaml", kData);
    dir_.write("train.csv", kTrain);
    dir_.write("valid.csv", kValid);
    prepare(Config::load(dir_ / "data.yaml"), dir_ / "data");
  }
  ~PreparedCounts() override { log::set_level(log::Level::info); }

  const testing::TempDir dir_;
};

TEST_F(PreparedCounts, SayWhatTheRowsHold) {
  const auto splits = read_split_counts(dir_ / "data");
  ASSERT_EQ(splits.size(), 2u);
  const SplitCounts& train = splits[0];
  EXPECT_EQ(train.split, "train");
  EXPECT_EQ(train.rows, 3);
  EXPECT_EQ(train.first_time, 100);
  EXPECT_EQ(train.last_time, 300);
  ASSERT_EQ(train.labels.size(), 2u);
  EXPECT_DOUBLE_EQ(train.labels[0].rate(), 1.0 / 3);
  EXPECT_EQ(train.labels[1].rows, 2);  // one row lacks it
  EXPECT_DOUBLE_EQ(train.labels[1].rate(), 0.5);
}

TEST_F(PreparedCounts, CountWhatIsMissing) {
  const auto splits = read_split_counts(dir_ / "data");
  const auto missing = [&](size_t split, const char* field) { return splits[split].field(field)->missing; };
  EXPECT_EQ(missing(0, "user"), 0);
  EXPECT_EQ(missing(1, "user"), 1);
  EXPECT_EQ(missing(0, "hashed"), 1);
  EXPECT_EQ(missing(1, "hashed"), 1);
  EXPECT_EQ(missing(0, "age"), 1);
  EXPECT_EQ(missing(1, "age"), 0);
  EXPECT_EQ(missing(0, "tags"), 1);
}

TEST_F(PreparedCounts, CountUnseenValuesAndLengths) {
  const auto splits = read_split_counts(dir_ / "data");
  EXPECT_EQ(splits[0].field("user")->unseen, 0);
  EXPECT_EQ(splits[1].field("user")->unseen, 1);    // u3
  EXPECT_EQ(splits[1].field("hashed")->unseen, 0);  // has no vocabulary
  const auto* train = splits[0].field("tags");
  EXPECT_EQ(train->values, 4);
  EXPECT_EQ(train->longest, 3);
  EXPECT_EQ(splits[1].field("tags")->values, 3);
  EXPECT_EQ(splits[1].field("tags")->unseen, 1);  // w
  EXPECT_EQ(splits[0].field("no such field"), nullptr);
}

TEST_F(PreparedCounts, AreNotThereInDataOfEarlierVersions) {
  std::filesystem::remove(dir_ / "data" / "counts.json");
  EXPECT_THAT(testing::data_error([&] { read_split_counts(dir_ / "data"); }),
              HasSubstr("counts.json"));  // listed still
  Manifest manifest = Manifest::load(dir_ / "data");
  manifest.erase("counts.json");
  manifest.save(dir_ / "data");
  EXPECT_TRUE(read_split_counts(dir_ / "data").empty());
}

TEST_F(PreparedCounts, AreRefusedWhereTheyAreDamaged) {
  const auto refusal = [&](const char* text) {
    dir_.write("counts.json", text);
    std::filesystem::remove(dir_ / "manifest.json");
    Manifest::describe(dir_.path(), {}, [](const std::string& file) {
      return file == "counts.json";
    }).save(dir_.path());
    return testing::error_of(ErrorKind::data, [&] { read_split_counts(dir_.path()); });
  };
  EXPECT_THAT(refusal("{"), HasSubstr("counts.json: damaged"));
  EXPECT_THAT(refusal("[]"), HasSubstr("counts.json: damaged"));
  EXPECT_THAT(refusal(R"({"format": 2, "splits": []})"), HasSubstr("format 2; this version reads 1"));
  EXPECT_THAT(refusal(R"({"format": 1, "splits": [{"split": 3}]})"), HasSubstr("counts.json: damaged"));
}

}  // namespace
}  // namespace interplay::split_counts_test
