// Whatever call of the system fails while data are made: an error that names the place, and the old state kept.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <interplay/base/files.h>
#include <interplay/data/prepare.h>
#include <interplay/data/synth.h>
#include <interplay/data/table_writer.h>
#include <interplay/lm/cache.h>

#include "support/failing_calls.h"
#include "support/temp_dir.h"

namespace fs = std::filesystem;

namespace interplay::testing::failing_disk_test {
namespace {

constexpr const char* kData = R"(
format: csv
file: rows.csv
split: {by: time, time: time, ratios: [0.6, 0.2, 0.2]}
label: click
fields:
  - {columns: [user, item]}
  - {column: price, kind: numeric, transform: standardise}
  - {name: past, kind: history, user: user, item: item, time: time, max_length: 3}
)";

std::string rows() {
  std::string out = "click,user,item,price,time\n";
  for (int i = 0; i < 60; ++i) out += fmt::format("{},u{},i{},{},{}\n", i % 3 == 0 ? 1 : 0, i % 4, i % 7, i * 0.5, i);
  return out + "1,u1,i1,dear,61\n";  // a bad row
}

/// Every file below with its bytes.
std::map<std::string, std::string> bytes_of(const fs::path& directory) {
  std::map<std::string, std::string> out;
  if (!fs::exists(directory)) return out;
  for (const auto& entry : fs::recursive_directory_iterator(directory)) {
    if (entry.is_regular_file()) out[fs::relative(entry.path(), directory).string()] = read_file(entry.path());
  }
  return out;
}

TEST(FailingDisk, OfPrepareKeepsTheOldDirectory) {
  const TempDir dir;
  dir.write("rows.csv", rows());
  dir.write("data.yaml", kData);
  const Config data = Config::load(dir / "data.yaml");
  PrepareOptions options;
  options.bad_rows = 5, options.threads = 1, options.memory_bytes = 1;  // 1: counting goes through files
  prepare(data, dir / "whole", options);
  const auto whole = bytes_of(dir / "whole");
  ASSERT_TRUE(whole.contains("rejected.tsv"));
  expect_every_failure_is_told(
      dir / "out",
      [&] {
        fs::remove_all(dir / "out");
        fs::create_directory(dir / "out");
        dir.write("out/old", "old");
      },
      [&] { prepare(data, dir / "out", options); },
      [&](bool failed) {
        const auto now = bytes_of(dir / "out");
        EXPECT_TRUE(failed);
        EXPECT_TRUE(now == whole || (now.size() == 1 && now.contains("old")));
        EXPECT_FALSE(fs::exists(dir / ".out.partial"));
      });
}

TEST(FailingDisk, OfATableKeepsTheOldOne) {
  const TempDir dir;
  const std::vector<int64_t> numbers(1000, 7);
  for (const char* name : {"out.csv", "out.tsv", "out.parquet"}) {
    SCOPED_TRACE(name);
    expect_every_failure_is_told(
        dir / name,
        [&] {
          fs::remove(dir / name);
          dir.write(name, "old");
        },
        [&] {
          TableWriter out(dir / name, {{"n", TableWriter::Kind::int64}});
          out.write({std::span(numbers)});
          out.close();
        },
        [&](bool failed) {
          EXPECT_TRUE(failed);
          EXPECT_FALSE(fs::exists(dir / ("." + std::string(name) + ".partial")));
          const std::string now = read_file(dir / name);
          EXPECT_TRUE(now == "old" || now.size() > 100) << now;
        });
  }
}

TEST(FailingDisk, OfMadeUpDataLeavesNothing) {
  const TempDir dir;
  for (const char* shape : {"movielens", "criteo", "planted"}) {
    SCOPED_TRACE(shape);
    SynthOptions options;
    options.shape = shape, options.rows = 50, options.fields = 3, options.pairs = "0-1";
    expect_every_failure_is_told(
        dir / "out", [&] { fs::remove_all(dir / "out"); }, [&] { synthesize(options, dir / "out"); },
        [&](bool failed) {
          EXPECT_TRUE(failed);
          EXPECT_FALSE(fs::exists(dir / ".out.partial"));
        });
  }
}

TEST(FailingDisk, OfACacheOfAnswersKeepsWhatWasThere) {
  const TempDir dir;
  const fs::path cache = dir / "cache";
  expect_every_failure_is_told(
      cache,
      [&] {
        fs::remove_all(cache);
        lm::LmCache first(cache, "model");
        first.put("a", "1");
        first.save();
      },
      [&] {
        lm::LmCache second(cache, "model");
        second.put("b", "2");
        second.save();
      },
      [&](bool failed) {
        EXPECT_TRUE(failed);
        EXPECT_EQ(lm::LmCache(cache, "model").find("a"), "1");
      });
}

TEST(TwoWriters, OfOneDirectoryOrTableAreRefusedByName) {
  const TempDir dir;
  const NewDirectory busy(dir / "out");
  dir.write("rows.csv", "click,user\n1,a\n0,b\n");
  dir.write("data.yaml", "format: csv\nfiles: {train: rows.csv}\nlabel: click\nfields: [{columns: [user]}]\n");
  const auto error = [](const std::function<void()>& action) {
    try {
      action();
      return std::string("no error");
    } catch (const Error& problem) {
      return std::string(problem.what());
    }
  };
  const std::string refused = (dir / "out").string() + ": is being written by another process";
  EXPECT_THAT(error([&] { prepare(Config::load(dir / "data.yaml"), dir / "out"); }), ::testing::HasSubstr(refused));
  EXPECT_THAT(error([&] { synthesize({}, dir / "out"); }), ::testing::HasSubstr(refused));
  const TableWriter table(dir / "a.csv", {{"n", TableWriter::Kind::int64}});
  EXPECT_THAT(error([&] {
                TableWriter second(dir / "a.csv", {{"n", TableWriter::Kind::int64}});
              }),
              ::testing::HasSubstr((dir / "a.csv").string() + ": is being written by another process"));
}

}  // namespace
}  // namespace interplay::testing::failing_disk_test
