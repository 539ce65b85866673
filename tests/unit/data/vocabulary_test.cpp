#include "data/schema/vocabulary.h"

#include <filesystem>
#include <map>
#include <string>
#include <thread>
#include <tuple>

#include <gtest/gtest.h>
#include <unistd.h>

#include <interplay/base/error.h>
#include <interplay/base/files.h>
#include <interplay/base/random.h>
#include <interplay/data/schema.h>

#include "data/encode/token_counts.h"
#include "data/schema/token_index.h"

namespace fs = std::filesystem;

namespace interplay::vocabulary_test {
namespace {

using namespace std::string_literals;

TEST(TokenIndex, TellsApartWhatDiffersInPaddingOrLength) {
  const std::vector<std::string> tokens = {
      ""s,          "a"s,          "a\0"s,     "\0"s,        "12345678"s,
      "123456789"s, "12345678\0"s, "1234567"s, "1234567\0"s, std::string(300, 'x')};
  TokenIndex index;
  for (uint32_t i = 0; i < tokens.size(); ++i) EXPECT_EQ(index.insert(tokens[i]), i);
  for (uint32_t i = 0; i < tokens.size(); ++i) {
    EXPECT_EQ(index.insert(tokens[i]), i);
    EXPECT_EQ(index.find(tokens[i]), i);
    EXPECT_EQ(index.token(i), tokens[i]);
  }
  EXPECT_EQ(index.find("absent"), TokenIndex::kAbsent);
  EXPECT_EQ(index.size(), tokens.size());
}

TEST(TokenIndex, TokensOfOneHashStayApart) {
  TokenIndex index;  // the same made-up hash for all: only the tokens themselves tell
  for (uint32_t i = 0; i < 100; ++i) EXPECT_EQ(index.insert("token number " + std::to_string(i), 42), i);
  for (uint32_t i = 0; i < 100; ++i) EXPECT_EQ(index.insert(std::to_string(i), 42), 100 + i);
  for (uint32_t i = 0; i < 100; ++i) EXPECT_EQ(index.find(std::to_string(i), 42), 100 + i);
}

TEST(TokenIndex, HashesAsTheFilesDo) { EXPECT_EQ(token_hash("68fd1e64"), hash64("68fd1e64")); }

class Spill : public ::testing::Test {
 protected:
  Spill() : directory_(fs::temp_directory_path() / fmt::format("interplay_spill_{}", ::getpid())) {
    fs::create_directories(directory_);
  }
  ~Spill() override { fs::remove_all(directory_); }
  fs::path directory_;
};

TEST_F(Spill, HundredsOfRunsGiveTheCountsOfAMap) {
  std::map<std::string, int64_t> expected[2];
  TokenCounts counts(2, 2048, directory_);
  for (uint64_t k = 0; k < 40000; k += 100) {
    for (size_t table = 0; table < 2; ++table) {
      auto tokens = counts.lease(table);
      for (uint64_t i = k; i < k + 50; ++i) {
        const std::string token = std::to_string(random_bits(1, table, i) % 3000);
        tokens.count(tokens.code(token));
        ++expected[table][token];
      }
    }
  }
  EXPECT_GT(counts.runs(), 200);
  for (size_t table = 0; table < 2; ++table) {
    std::vector<std::pair<std::string, int64_t>> found;
    counts.merge(table, 3, [&](std::string_view token, int64_t n) { found.emplace_back(token, n); });
    std::erase_if(expected[table], [](const auto& token) { return token.second < 3; });
    const std::vector<std::pair<std::string, int64_t>> wanted(expected[table].begin(), expected[table].end());
    EXPECT_EQ(found, wanted);
  }
  EXPECT_TRUE(fs::is_empty(directory_));  // temporary files have no name
}

TEST_F(Spill, CodesHoldForTheirEpoch) {
  TokenCounts counts(1, 2048, directory_);
  std::vector<std::tuple<int64_t, uint32_t, std::string>> given;
  for (int k = 0; k < 2000; ++k) {
    auto tokens = counts.lease(0);
    const std::string token = std::to_string(random_bits(1, 0, uint64_t(k)) % 500);
    given.emplace_back(tokens.epoch(), tokens.code(token), token);
  }
  EXPECT_GT(counts.epochs(0), 3);
  std::map<std::pair<int64_t, uint32_t>, std::string> meant;
  for (int64_t epoch = 0; epoch < counts.epochs(0); ++epoch) {
    size_t codes = 0;
    counts.each(0, epoch, [&](std::string_view token, uint32_t code) {
      ++codes;
      EXPECT_TRUE(meant.emplace(std::pair(epoch, code), token).second) << "code " << code << " twice";
    });
    EXPECT_EQ(codes, counts.codes(0, epoch));
  }
  for (const auto& [epoch, code, token] : given) ASSERT_EQ(meant.at({epoch, code}), token);
}

TEST_F(Spill, NothingIsWrittenBelowTheBound) {
  TokenCounts counts(1, 1 << 20, directory_ / "is not there");
  {
    auto tokens = counts.lease(0);
    tokens.count(tokens.code("b"), 2);
    tokens.count(tokens.code("a"));
    tokens.code("seen, but not in training");
    std::thread([&] { EXPECT_FALSE(counts.try_lease(0).has_value()); }).join();
  }
  std::string found;
  counts.merge(0, 0, [&](std::string_view token, int64_t n) { found += fmt::format("{}{} ", token, n); });
  EXPECT_EQ(found, "a1 b2 ");
  EXPECT_EQ(counts.runs(), 0);
}

TEST(VocabularyFile, NamesStayInsideTheirDirectory) {
  EXPECT_EQ(vocabulary_file("d", "item_id"), fs::path("d/vocabulary/item_id.parquet"));
  EXPECT_EQ(vocabulary_file("d", "../x/y"), fs::path("d/vocabulary/%2E.%2Fx%2Fy.parquet"));
}

}  // namespace
}  // namespace interplay::vocabulary_test
