// Partitions of users' histories: where they are cut, and the log that remembers them.
#include <algorithm>
#include <random>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <interplay/base/files.h>
#include <interplay/base/log.h>
#include <interplay/systems/partitions.h>

#include "support/error_of.h"
#include "support/failing_calls.h"
#include "support/stored.h"
#include "support/temp_dir.h"

namespace interplay::partition_log_test {
namespace {

namespace fs = std::filesystem;
using interplay::testing::config_error;
using interplay::testing::data_error;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using Json = nlohmann::ordered_json;
using Cells = std::vector<std::string_view>;

const Json& stored(const char* part) {
  static const Json all = testing::reference_json("systems/liber.json");
  return all.at(part);
}

std::vector<std::string> names_of(const std::vector<PartitionLog::Event>& events) {
  std::vector<std::string> out;
  for (const auto& event : events) out.push_back(event.cells[0]);
  return out;
}

std::vector<std::string> strings(const Json& numbers) {
  std::vector<std::string> out;
  for (const Json& number : numbers) out.push_back(number.dump());
  return out;
}

class PartitionLogTest : public ::testing::Test {
 protected:
  PartitionLogTest() { log::set_level(log::Level::off); }
  PartitionLog::Options options(int64_t count, double pause = 0) const {
    return {.rule = {.count = count, .pause = pause}, .columns = {"item"}, .author = {{"summarizer", "nobody"}}};
  }
  testing::TempDir dir_;
};

/// Tells each pending partition its own events, until none is left; what was said by user and number.
std::map<std::string, std::vector<std::string>> tell_all(PartitionLog& log) {
  std::map<std::string, std::vector<std::string>> out;
  for (auto some = log.pending(3); !some.empty(); some = log.pending(3)) {
    for (const auto& partition : some) {
      out[partition_key(partition.user, partition.number)] = names_of(log.events(partition));
      log.tell(partition, {fmt::format("{}", fmt::join(names_of(log.events(partition)), " ")), ""});
    }
  }
  return out;
}

TEST_F(PartitionLogTest, CutsByCount) {
  const Json& s = stored("stream");
  PartitionLog log(dir_ / "log", options(s["K"]));
  for (const Json& event : s["events"]) {
    const std::string name = event.dump();
    EXPECT_EQ(log.closed("u"), s["visible_partitions"][name]) << name;
    log.observe("u", event.get<double>(), Cells{name});
  }
  EXPECT_EQ(names_of(log.cache("u")), strings(s["cache_at_end"]));
  EXPECT_EQ(log.partitions(), 2);
  const auto said = tell_all(log);
  EXPECT_EQ(said.at("u:1"), strings(s["partitions"][0]));
  EXPECT_EQ(said.at("u:2"), strings(s["partitions"][1]));
}

TEST_F(PartitionLogTest, CutsByPauses) {
  const Json& s = stored("stream_time");
  PartitionLog log(dir_ / "log", options(s["K"], s["max_gap"]));
  for (const Json& event : s["events"]) log.observe("u", event[1].get<double>(), Cells{event[0].dump()});
  EXPECT_EQ(names_of(log.cache("u")), strings(s["cache"]));
  const auto said = tell_all(log);
  ASSERT_EQ(said.size(), 2u);
  EXPECT_EQ(said.at("u:1"), strings(s["partitions"][0]));
  EXPECT_EQ(said.at("u:2"), strings(s["partitions"][1]));
}

TEST_F(PartitionLogTest, AnEventMayEndTwo) {
  PartitionLog log(dir_ / "log", options(1, 5));
  log.observe("u", 0, Cells{"a"});
  log.observe("u", 100, Cells{"b"});
  EXPECT_EQ(log.closed("u"), 2);
  PartitionLog pauses(dir_ / "pauses", options(0, 5));
  for (const double time : {0., 4., 9., 14.5}) pauses.observe("u", time, Cells{"x"});
  EXPECT_EQ(pauses.closed("u"), 1);  // 5 is no longer pause than 5, 5.5 is
}

/// However the users' events come in turn, and wherever the process ends, the same comes of them.
TEST_F(PartitionLogTest, StreamsAndRestartsAreOne) {
  const std::vector<std::string> users = {"a", "b", "c"};
  const auto name = [](const std::string& user, int64_t i) { return fmt::format("{}{}", user, i); };
  std::map<std::string, std::vector<std::string>> expected;  // in closed form: every seven events
  for (const auto& user : users) {
    for (int64_t p = 0; p < 4; ++p) {
      for (int64_t i = 0; i < 7; ++i) expected[partition_key(user, p + 1)].push_back(name(user, 7 * p + i));
    }
  }
  std::mt19937 draw(1);
  for (int trial = 0; trial < 5; ++trial) {
    const fs::path folder = dir_ / fmt::format("log{}", trial);
    std::map<std::string, int64_t> next;
    std::map<std::string, std::vector<std::string>> said;
    auto log = std::make_unique<PartitionLog>(folder, options(7));
    for (int64_t left = 90; left > 0;) {
      const auto& user = users[draw() % users.size()];
      if (next[user] == 30) continue;
      log->observe(user, double(next[user]), Cells{name(user, next[user])});
      ++next[user], --left;
      if (draw() % 10 == 0) said.merge(tell_all(*log));
      if (draw() % 10 == 0) log.reset(), log = std::make_unique<PartitionLog>(folder, options(7));
    }
    said.merge(tell_all(*log));
    EXPECT_EQ(said, expected);
    for (const auto& user : users) {
      EXPECT_EQ(log->past(user).events, 30);
      EXPECT_EQ(names_of(log->cache(user)), (std::vector<std::string>{name(user, 28), name(user, 29)}));
      EXPECT_EQ(log->texts(user, 4)->summary, fmt::format("{}", fmt::join(expected[user + ":4"], " ")));
      EXPECT_FALSE(log->texts(user, 5));
    }
  }
}

TEST_F(PartitionLogTest, OfAUserOnlyTheNextPartitionIsPending) {
  PartitionLog log(dir_ / "log", options(2));
  for (int i = 0; i < 6; ++i) log.observe("u", i, Cells{"x"});
  for (int i = 0; i < 2; ++i) log.observe("v", i, Cells{"y"});
  using Partition = PartitionLog::Partition;
  EXPECT_THAT(log.pending(10), ElementsAre(Partition{"u", 1}, Partition{"v", 1}));
  EXPECT_THAT(config_error([&] { log.tell({"u", 2}, {"", ""}); }), HasSubstr("u:2 is not the next one"));
  log.tell({"u", 1}, {"first", ""});
  EXPECT_THAT(log.pending(10), ElementsAre(Partition{"u", 2}, Partition{"v", 1}));
  EXPECT_THAT(log.pending(1), ElementsAre(Partition{"u", 2}));
  EXPECT_EQ(log.untold(), 3);
}

TEST_F(PartitionLogTest, ATornRecordIsDropped) {
  {
    PartitionLog log(dir_ / "log", options(2));
    for (int i = 0; i < 5; ++i) log.observe("user", i, Cells{fmt::format("item{}", i)});
    log.tell({"user", 1}, {"said", "changed"});
  }
  const fs::path file = dir_ / "log" / "partitions.log";
  const std::string whole = read_file(file);
  const size_t last = whole.size() - (8 + 1 + 4 + 4 + 4 + 4 + 4 + 4 + 7);  // where the texts' record begins
  for (size_t size = last; size < whole.size(); ++size) {
    write_file(file, whole.substr(0, size));
    PartitionLog log(dir_ / "log", options(2));
    EXPECT_EQ(log.past("user").events, 5);
    EXPECT_FALSE(log.texts("user", 1)) << size;
    log.tell({"user", 1}, {"said", "changed"});
    EXPECT_EQ(log.texts("user", 1), (PartitionTexts{"said", "changed"}));
  }
  EXPECT_EQ(read_file(file), whole);
}

TEST_F(PartitionLogTest, DamageInTheMiddleIsRefused) {
  {
    PartitionLog log(dir_ / "log", options(2));
    for (int i = 0; i < 5; ++i) log.observe("user", i, Cells{"item"});
  }
  const fs::path file = dir_ / "log" / "partitions.log";
  const std::string whole = read_file(file);
  const size_t record = 8 + 1 + 4 + 4 + 8 + 4 + 4;  // of an event, the last one of which may be torn
  for (size_t at = 0; at + record < whole.size(); ++at) {
    std::string damaged = whole;
    damaged[at] = char(damaged[at] ^ 0x10);
    write_file(file, damaged);
    try {
      const PartitionLog log(dir_ / "log", options(2));
      // A length that was changed so that the record would end past the file looks like a torn one.
      EXPECT_LT(log.past("user").events, 5) << at;
    } catch (const Error& problem) {
      EXPECT_EQ(problem.kind(), ErrorKind::data);
      EXPECT_THAT(problem.what(), HasSubstr("partitions.log")) << at;
    }
  }
  write_file(file, "no log");
  EXPECT_THAT(data_error([&] { PartitionLog(dir_ / "log", options(2)); }), HasSubstr("is no log of partitions"));
}

TEST_F(PartitionLogTest, OtherSettingsAreRefused) {
  { PartitionLog log(dir_ / "log", options(2)); }
  EXPECT_THAT(config_error([&] { PartitionLog(dir_ / "log", options(3)); }), HasSubstr("with count 2, now it is 3"));
  EXPECT_THAT(config_error([&] { PartitionLog(dir_ / "log", options(2, 9)); }), HasSubstr("with pause 0"));
  auto other = options(2);
  other.author["summarizer"] = "somebody";
  EXPECT_THAT(config_error([&] { PartitionLog(dir_ / "log", other); }),
              HasSubstr("with summarizer \"nobody\", now it is \"somebody\""));
  other = options(2);
  other.columns = {"item", "rating"};
  EXPECT_THAT(config_error([&] { PartitionLog(dir_ / "log", other); }), HasSubstr("columns"));
  EXPECT_THAT(config_error([&] { PartitionLog(dir_ / "never", options(0)); }), HasSubstr("ever end a partition"));
}

TEST_F(PartitionLogTest, EventsThatCannotBeAreRefused) {
  PartitionLog log(dir_ / "log", options(2));
  log.observe("u", 5, Cells{"a"});
  EXPECT_THAT(config_error([&] { log.observe("u", 4, Cells{"b"}); }), HasSubstr("before the last one at 5"));
  EXPECT_THAT(config_error([&] {
                log.observe("u", 6, Cells{"b", "c"});
              }),
              HasSubstr("2 cells; expected one of each of 1"));
  EXPECT_THAT(config_error([&] { log.observe(std::string(70000, 'x'), 6, Cells{"b"}); }), HasSubstr("65535"));
  EXPECT_EQ(log.past("u").events, 1);
}

TEST_F(PartitionLogTest, WhatCannotBeWrittenIsNotThere) {
  const fs::path folder = dir_ / "log";
  testing::expect_every_failure_is_told(
      folder, [&] { fs::remove_all(folder); },
      [&] {
        PartitionLog log(folder, options(2));
        for (int i = 0; i < 3; ++i) log.observe("u", i, Cells{"x"});
        log.tell({"u", 1}, {"said", ""});
        log.sync();
      },
      [&](bool failed) {
        PartitionLog log(folder, options(2));  // whatever is there can be read
        if (!failed) {
          EXPECT_EQ(log.texts("u", 1)->summary, "said");
        }
      });
}

TEST_F(PartitionLogTest, OneWriterAtATime) {
  PartitionLog log(dir_ / "log", options(2));
  EXPECT_THAT(config_error([&] { PartitionLog(dir_ / "log", options(2)); }), HasSubstr("log"));
}

}  // namespace
}  // namespace interplay::partition_log_test
