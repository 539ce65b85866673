#include <gmock/gmock.h>

#include <cmath>
#include <map>
#include <numbers>
#include <set>
#include <sstream>

#include <interplay/base/files.h>
#include <interplay/base/progress.h>
#include <interplay/data/keyed_vectors.h>
#include <interplay/data/synth.h>

#include "reader_support.h"

namespace interplay::testing::synth_test {
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
  for (const char* shape : {"movielens", "criteo", "planted", "texts"}) {
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

/// AUC of a Gaussian score for the upper half of (score + independent Gaussian), whose correlation with it is r: the
/// orthant probability of three normals with correlations r / sqrt(2), r / sqrt(2) and 0, over the 1/4 of the last two.
double gaussian_auc(double r) { return 0.5 + 2 / std::numbers::pi * std::asin(r / std::numbers::sqrt2); }

TEST_F(Synth, TheTruthStatesTheAucOfASumOfNormals) {
  auto wide = options("planted", 1000);
  wide.categories = 60000;  // so many categories and cells that their effects are fresh normals: variances 6, 2 and 4
  wide.pairs = "0-1,2-5";
  wide.linear = 1;
  wide.noise = 2;
  const auto oracle = Config::load(make("wide", wide) / "truth.yaml")["oracle"];
  // 20,001 rows: the standard error of an AUC near 0.8 is 0.003
  EXPECT_NEAR(oracle["auc"].as<double>(), gaussian_auc(std::sqrt(8.0 / 12)), 0.01);
  EXPECT_NEAR(oracle["linear_auc"].as<double>(), gaussian_auc(std::sqrt(6.0 / 12)), 0.013);
}

TEST_F(Synth, PlantedSetsTellWhatNeitherTheirFieldsNorTheirPairsTell) {
  auto pure = options("planted", 60000);
  pure.categories = 30;  // five a field
  pure.pairs = "0-5:kernel:3";
  pure.triples = "1-2-4:inner:2";
  pure.linear = 0;
  pure.noise = 0.5;
  const auto set = make("planted", pure);
  const Read train = read("csv", set / "train.csv"), test = read("csv", set / "test.csv");
  // AUC on test of the share of ones that a cell of these columns has in train
  const auto auc = [&](const std::vector<std::vector<size_t>>& parts) {
    std::vector<std::map<std::string, std::pair<double, double>>> shares(parts.size());
    const auto cell = [](const std::vector<std::string>& row, const std::vector<size_t>& fields) {
      std::string key;
      for (const size_t f : fields) key += row[f + 1] + ",";
      return key;
    };
    for (const auto& row : train.rows) {
      for (size_t p = 0; p < parts.size(); ++p) {
        auto& [ones, all] = shares[p][cell(row, parts[p])];
        ones += row[0] == "1";
        all += 1;
      }
    }
    std::vector<double> zeros, ones;
    for (const auto& row : test.rows) {
      double score = 0;
      for (size_t p = 0; p < parts.size(); ++p) {
        const auto& [clicks, all] = shares[p][cell(row, parts[p])];
        score += clicks / std::max(all, 1.0);
      }
      (row[0] == "1" ? ones : zeros).push_back(score);
    }
    std::sort(zeros.begin(), zeros.end());
    double wins = 0;
    for (const double score : ones) {
      const auto [low, high] = std::equal_range(zeros.begin(), zeros.end(), score);
      wins += double(low - zeros.begin()) + double(high - low) / 2;
    }
    return wins / (double(zeros.size()) * double(ones.size()));
  };
  // 6000 rows: the standard error of an AUC near 0.5 is 0.0075. Parts of a set tell nothing of its mean, but a little
  // of its spread, which is not the same on both sides of the median.
  EXPECT_NEAR(auc({{0}, {1}, {2}, {3}, {4}, {5}}), 0.5, 0.05);
  EXPECT_NEAR(auc({{1, 2}, {1, 4}, {2, 4}, {0, 1}, {3, 5}}), 0.5, 0.05);
  const double stated = Config::load(set / "truth.yaml")["oracle"]["auc"].as<double>();
  EXPECT_GT(stated, 0.85);
  EXPECT_NEAR(auc({{0, 5}, {1, 2, 4}}), stated, 0.03);
  EXPECT_GT(auc({{0, 5}}), 0.6);
  EXPECT_GT(auc({{1, 2, 4}}), 0.6);
}

TEST_F(Synth, FieldsOfOneFactorAreCorrelated) {
  auto shared = options("planted", 20000);
  shared.fields = 4;
  shared.pairs = "0-1";
  shared.categories = 4000;
  shared.factors = 2;
  shared.correlation = 0.5;
  shared.valid = shared.test = 0;
  const auto set = make("planted", shared);
  const auto factor = Config::load(set / "truth.yaml")["factors"];
  const auto rows = read("csv", set / "train.csv").rows;
  std::vector<std::vector<double>> columns(4);
  for (const auto& row : rows) {
    for (size_t f = 0; f < 4; ++f) columns[f].push_back(std::stod(row[f + 1]));
  }
  std::vector<double> median(4);
  for (size_t f = 0; f < 4; ++f) {
    auto sorted = columns[f];
    std::nth_element(sorted.begin(), sorted.begin() + 10000, sorted.end());
    median[f] = sorted[10000];
  }
  for (size_t a = 0; a < 4; ++a) {
    for (size_t b = a + 1; b < 4; ++b) {
      double both = 0;
      for (size_t row = 0; row < rows.size(); ++row) both += columns[a][row] > median[a] && columns[b][row] > median[b];
      const bool same = factor[fmt::format("f{}", a)].as<int64_t>() == factor[fmt::format("f{}", b)].as<int64_t>();
      // both normals above their medians: 1/4 + asin(correlation) / (2 pi); four standard deviations are 0.013
      EXPECT_NEAR(both / 20000, same ? 1.0 / 3 : 0.25, 0.015) << a << " " << b;
    }
  }
}

TEST_F(Synth, DecoysActStronglyAndAreInNoSet) {
  auto with = options("planted", 1000);
  with.fields = 12;
  with.categories = 12000;
  with.random_pairs = 6;
  with.random_triples = 4;
  with.decoys = 3;
  with.linear = 0;
  with.decoy = 2;
  with.noise = 0;
  const auto truth = Config::load(make("planted", with) / "truth.yaml");
  std::set<std::string> decoys;
  for (const auto& field : truth["decoys"].items()) decoys.insert(field.as<std::string>());
  EXPECT_EQ(decoys.size(), 3u);
  std::map<size_t, std::set<std::vector<std::string>>> sets;
  for (const auto& set : truth["interactions"].items()) {
    std::vector<std::string> fields;
    for (const auto& field : set["fields"].items()) {
      fields.push_back(field.as<std::string>());
      EXPECT_FALSE(decoys.contains(fields.back()));
    }
    sets[fields.size()].insert(fields);
  }
  EXPECT_EQ(sets[2].size(), 6u);
  EXPECT_EQ(sets[3].size(), 4u);
  EXPECT_NEAR(truth["oracle"]["linear_auc"].as<double>(), gaussian_auc(std::sqrt(12.0 / 22)), 0.013);
}

TEST_F(Synth, WidthsAreThoseTheSetsRead) {
  auto widths = options("planted", 100);
  widths.pairs = "0-1:inner:2,1-2:kernel:16,3-4";
  widths.function = "inner";
  widths.width = 4;
  widths.triples = "0-3-5:table";
  const auto truth = Config::load(make("planted", widths) / "truth.yaml");
  EXPECT_EQ(truth["widths"], Config::parse("{f0: 2, f1: 16, f2: 16, f3: 4, f4: 4}"));
  EXPECT_EQ(truth["interactions"], Config::parse("[{fields: [f0, f1], function: inner, width: 2},"
                                                 " {fields: [f1, f2], function: kernel, width: 16},"
                                                 " {fields: [f3, f4], function: inner, width: 4},"
                                                 " {fields: [f0, f3, f5], function: table}]"));
}

TEST_F(Synth, ItemsOfTextsAreNewInTestAndTheirTopicsAreInTheirVectors) {
  auto o = options("texts", 4000);
  o.items = 50;
  o.cold = 0.4;
  const auto dir = make("t", o);
  const auto items_of = [&](const char* split) {
    std::set<std::string> items;
    for (const auto& row : read("csv", dir / split).rows) items.insert(row[2]);
    return items;
  };
  const auto train = items_of("train.csv"), valid = items_of("valid.csv"), test = items_of("test.csv");
  EXPECT_EQ(train.size(), 30u);
  EXPECT_EQ(test.size(), 20u);
  EXPECT_EQ(valid.size(), 50u);
  for (const auto& item : test) EXPECT_FALSE(train.contains(item)) << item;
  EXPECT_NEAR(share_of_ones(read("csv", dir / "train.csv").rows), 0.5, 0.1);
  const auto vectors = KeyedVectors::load({.from = (dir / "vectors.parquet").string()});
  EXPECT_EQ(vectors.count(), 50);
  // Titles of one set of words have vectors that are nearer to each other than to those of no common word.
  std::map<std::string, std::set<std::string>> words;
  for (const auto& row : read("csv", dir / "items.csv").rows) {
    std::istringstream title(row[1]);
    for (std::string word; title >> word;)
      if (word != "and") words[row[0]].insert(word.substr(0, word.find(',')));
    EXPECT_EQ(words[row[0]].size(), 4u) << row[1];
  }
  double near = 0, far = 0, pairs_near = 0, pairs_far = 0;
  for (const auto& [a, of_a] : words) {
    for (const auto& [b, of_b] : words) {
      if (a >= b) continue;
      const auto u = vectors.find(a), v = vectors.find(b);
      double distance = 0;
      for (size_t k = 0; k < u.size(); ++k) distance += std::pow(u[k] - v[k], 2);
      size_t common = 0;
      for (const auto& word : of_a) common += of_b.count(word);
      (common >= 3 ? near : far) += common >= 3 || common == 0 ? distance : 0;
      (common >= 3 ? pairs_near : pairs_far) += common >= 3 || common == 0;
    }
  }
  ASSERT_GT(pairs_near, 0);
  EXPECT_LT(near / pairs_near, far / pairs_far / 3);
}

TEST_F(Synth, WhatCannotBeMadeIsRefused) {
  auto bad = options("planted", 100);
  for (const char* pairs :
       {"0-6", "0-0", "1", "0-1,x", "0-1,1-0", "0-1-2", "0-1:cross", "0-1:inner:0", "0-1:inner:4:", "-1-2"}) {
    bad.pairs = pairs;
    EXPECT_THAT(error_of([&] { make("x", bad); }, 2), HasSubstr("pairs: '" + std::string(pairs) + "'"));
    EXPECT_FALSE(std::filesystem::exists(dir_ / "x"));
  }
  bad.pairs.reset();
  for (const char* triples : {"0-1", "0-1-6", "0-1-1", "0-1-2-3", "0-1-2,2-1-0"}) {
    bad.triples = triples;
    EXPECT_THAT(error_of([&] { make("x", bad); }, 2), HasSubstr("triples: '" + std::string(triples) + "'"));
  }
  bad.triples = "0-1-2";
  bad.random_triples = 20;  // of the 20 that six fields have, one is listed
  EXPECT_THAT(error_of([&] { make("x", bad); }, 2), HasSubstr("random_triples: 20 are too many"));
  bad.random_triples = 19;
  make("all", bad);
  bad.decoys = 4;
  EXPECT_THAT(error_of([&] { make("x", bad); }, 2), HasSubstr("decoys: 4 are too many: only 3 of the 6 fields"));
  make("there", options("planted", 100));
  EXPECT_THAT(error_of([&] { make("there", options("planted", 100)); }, 2), HasSubstr("exists already"));
  EXPECT_THAT(error_of([&] { make("x", options("avazu", 100)); }, 2), HasSubstr("'avazu'"));
}

}  // namespace
}  // namespace interplay::testing::synth_test
