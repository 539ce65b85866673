#include <interplay/lm/cache.h>

#include <filesystem>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <interplay/base/log.h>

#include "support/error_of.h"
#include "support/temp_dir.h"

namespace interplay::lm::cache_test {
namespace {

namespace fs = std::filesystem;
using interplay::testing::damage;
using interplay::testing::data_error;
using interplay::testing::TempDir;
using ::testing::HasSubstr;
using ::testing::Optional;

std::vector<fs::path> files_of(const fs::path& directory) {
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(directory)) files.push_back(entry.path());
  return files;
}

TEST(LmCache, KeepsWhatWasSaved) {
  const TempDir dir;
  const fs::path place = dir / "cache";
  {
    LmCache cache(place, "model 1");
    EXPECT_EQ(cache.find("a"), std::nullopt);
    cache.put("a", "one");
    cache.put("b", std::string("\0\n", 2));
    cache.put("", "");
    EXPECT_THAT(cache.find("a"), Optional(std::string_view("one")));
    cache.save();
    cache.save();  // nothing new: no file
    EXPECT_THAT(cache.find("a"), Optional(std::string_view("one")));
    cache.put("c", "is lost");
  }
  EXPECT_EQ(files_of(place).size(), 1u);
  LmCache cache(place, "model 1");
  EXPECT_EQ(cache.size(), 3);
  EXPECT_THAT(cache.find("a"), Optional(std::string_view("one")));
  EXPECT_THAT(cache.find("b"), Optional(std::string_view("\0\n", 2)));
  EXPECT_THAT(cache.find(""), Optional(std::string_view("")));
  EXPECT_EQ(cache.find("c"), std::nullopt);
}

TEST(LmCache, AnswersAreThoseOfTheModelThatWasAsked) {
  const TempDir dir;
  LmCache one(dir.path(), "model 1");
  one.put("a", "one");
  one.save();
  EXPECT_EQ(LmCache(dir.path(), "model 2").find("a"), std::nullopt);
  EXPECT_EQ(LmCache(dir.path(), "model 2").size(), 1);
}

TEST(LmCache, SeveralMayWriteAtOnce) {
  const TempDir dir;
  LmCache one(dir.path(), "m"), other(dir.path(), "m");
  one.put("a", "1");
  other.put("b", "2");
  one.save();
  other.save();
  const LmCache both(dir.path(), "m");
  EXPECT_THAT(both.find("a"), Optional(std::string_view("1")));
  EXPECT_THAT(both.find("b"), Optional(std::string_view("2")));
}

TEST(LmCache, AFileAlteredOrCutAnywhereIsLeftOut) {
  const TempDir dir;
  const fs::path place = dir / "cache";
  {
    LmCache cache(place, "m");
    cache.put("a", "one");
    cache.save();
  }
  const fs::path file = files_of(place).at(0);
  const std::string whole = read_file(file);
  log::set_level(log::Level::error);  // two warnings a byte
  for (size_t at = 0; at < whole.size(); ++at) {
    damage(file, at);
    EXPECT_EQ(LmCache(place, "m").size(), 0) << at;
    damage(file, at);  // back
    fs::resize_file(file, at);
    EXPECT_EQ(LmCache(place, "m").size(), 0) << at;
    write_file(file, whole);
  }
  log::set_level(log::Level::info);
  EXPECT_EQ(LmCache(place, "m").size(), 1);
}

TEST(LmCache, NamesAPlaceThatIsNoDirectory) {
  const TempDir dir;
  EXPECT_THAT(data_error([&] { LmCache(dir.write("file", "x"), "m"); }), HasSubstr("is no directory"));
}

}  // namespace
}  // namespace interplay::lm::cache_test
