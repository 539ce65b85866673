#include <gmock/gmock.h>

#include <map>
#include <set>

#include <interplay/base/files.h>
#include <interplay/base/progress.h>
#include <interplay/data/synth.h>

#include "reader_support.h"

namespace interplay::testing {
namespace {

using ::testing::AllOf;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::MatchesRegex;

class Synth : public ::testing::Test {
 protected:
  Synth() { Progress::enable(false); }

  std::filesystem::path make(const std::string& name, const SynthOptions& options) const {
    synthesize(options, dir_ / name);
    return dir_ / name;
  }
  static SynthOptions options(const std::string& shape, int64_t rows) {
    SynthOptions options;
    options.shape = shape;
    options.rows = rows;
    return options;
  }
  static double share_of_ones(const Table& rows) {
    double ones = 0;
    for (const auto& row : rows) ones += row[0] == "1";
    return ones / double(rows.size());
  }

  TempDir dir_;
};

TEST_F(Synth, TheSeedAloneDecidesTheBytes) {
  for (const char* shape : {"movielens", "criteo", "planted"}) {
    auto same = options(shape, 3000), other = same;
    other.seed = 2;
    const std::string s = shape, file = s == "movielens" ? "/set.inter" : s == "criteo" ? "/train.txt" : "/train.csv";
    const auto text = [&](const std::string& name, const SynthOptions& o) {
      return read_file(make(s + name + "/set", o).string() + file);
    };
    const std::string first = text("1", same);
    EXPECT_EQ(first, text("2", same)) << shape;
    EXPECT_NE(first, text("3", other)) << shape;
  }
}

TEST_F(Synth, MovielensReadsAsRecboleAndNobodyRatesAnItemTwice) {
  const auto set = make("ml", options("movielens", 10000));
  ReadRequest request;
  request.files = {set / "ml.inter"};
  const Read got = read("recbole", request);
  EXPECT_THAT(got.columns, ElementsAre("user_id", "item_id", "rating", "timestamp", "age", "gender", "occupation",
                                       "zip_code", "movie_title", "release_year", "class"));
  EXPECT_EQ(got.rows.size(), 10000u);
  std::set<std::pair<std::string, std::string>> seen;
  std::map<std::string, int> ratings;
  for (const auto& row : got.rows) {
    EXPECT_TRUE(seen.emplace(row[0], row[1]).second) << row[0] << " rates " << row[1] << " twice";
    ++ratings[row[2]];
    for (const auto& cell : row) EXPECT_NE(cell, "-");
  }
  EXPECT_EQ(ratings.size(), 5u);
  EXPECT_THAT(ratings["4"] + ratings["5"], AllOf(::testing::Gt(4000), ::testing::Lt(8000)));
}

TEST_F(Synth, MovielensKeepsToTheUsersAndItemsAsked) {
  auto small = options("movielens", 500);
  small.users = 20;
  small.items = 60;
  const auto set = make("ml", small);
  EXPECT_EQ(read("tsv", set / "ml.user").rows.size(), 20u);
  EXPECT_EQ(read("tsv", set / "ml.item").rows.size(), 60u);
  EXPECT_EQ(read("recbole", set / "ml.inter").rows.size(), 500u);
  small.rows = 601;
  EXPECT_THAT(error_of([&] { make("other", small); }, 2), HasSubstr("rows: 601"));
}

TEST_F(Synth, CriteoHasItsColumnsGapsAndShareOfClicks) {
  const auto set = make("criteo", options("criteo", 20000));
  std::string header = "label";
  for (int i = 1; i <= 13; ++i) header += fmt::format(", I{}", i);
  for (int i = 1; i <= 26; ++i) header += fmt::format(", C{}", i);
  const auto read_split = [&](const char* file) { return read("{name: tsv, header: [" + header + "]}", set / file); };
  const Read train = read_split("train.txt");
  EXPECT_EQ(train.rows.size(), 16000u);
  EXPECT_EQ(read_split("valid.txt").rows.size(), 2000u);
  EXPECT_EQ(read_split("test.txt").rows.size(), 2000u);
  EXPECT_NEAR(share_of_ones(train.rows), 0.25, 0.06);
  double gaps = 0;
  std::set<std::string> tokens;
  for (const auto& row : train.rows) {
    gaps += row[12] == "-";
    ASSERT_THAT(row[16], ::testing::AnyOf("-", MatchesRegex("[0-9a-f]{8}")));
    tokens.insert(row[16]);
    ASSERT_NE(row[2], "-");
  }
  EXPECT_NEAR(gaps / 16000, 0.77, 0.015);  // I12; four standard deviations are 0.013
  EXPECT_GT(tokens.size(), 1000u);         // C3 has millions of values where there are rows enough
  EXPECT_THAT(Config::load(set / "data.yaml")["files"].keys(), ElementsAre("train", "valid", "test"));
}

TEST_F(Synth, PlantedLabelsAreHalfOnes) {
  const auto set = make("planted", options("planted", 20000));
  const Read train = read("csv", set / "train.csv");
  EXPECT_THAT(train.columns, ElementsAre("label", "f0", "f1", "f2", "f3", "f4", "f5"));
  EXPECT_EQ(train.rows.size(), 16000u);
  EXPECT_NEAR(share_of_ones(train.rows), 0.5, 0.02);
  EXPECT_NEAR(share_of_ones(read("csv", set / "test.csv").rows), 0.5, 0.05);
}

TEST_F(Synth, WithoutNoiseThePlantedPairDecidesAndNeitherFieldDoes) {
  auto pure = options("planted", 5000);
  pure.pairs = "1-4";
  pure.linear = pure.noise = pure.test = 0;
  const auto set = make("planted", pure);
  EXPECT_FALSE(std::filesystem::exists(set / "test.csv"));
  std::map<std::string, std::set<std::string>> by_pair, by_field;
  for (const auto& row : read("csv", set / "train.csv").rows) {
    by_pair[row[2] + "," + row[5]].insert(row[0]);
    by_field[row[2]].insert(row[0]);
  }
  for (const auto& [pair, labels] : by_pair) EXPECT_EQ(labels.size(), 1u) << pair;
  for (const auto& [value, labels] : by_field) EXPECT_EQ(labels.size(), 2u) << value;
  EXPECT_EQ(by_field.size(), 10u);
}

TEST_F(Synth, WhatCannotBeMadeIsRefused) {
  auto bad = options("planted", 100);
  for (const char* pairs : {"0-6", "0-0", "1", "0-1,x", "0-1,1-0"}) {
    bad.pairs = pairs;
    EXPECT_THAT(error_of([&] { make("x", bad); }, 2), HasSubstr("pairs: '" + std::string(pairs) + "'"));
    EXPECT_FALSE(std::filesystem::exists(dir_ / "x"));
  }
  make("there", options("planted", 100));
  EXPECT_THAT(error_of([&] { make("there", options("planted", 100)); }, 2), HasSubstr("exists already"));
  EXPECT_THAT(error_of([&] { make("x", options("avazu", 100)); }, 2), HasSubstr("'avazu'"));
}

}  // namespace
}  // namespace interplay::testing
