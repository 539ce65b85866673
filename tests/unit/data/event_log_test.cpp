#include <interplay/data/event_log.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "reader_support.h"

namespace interplay::testing::event_log_test {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr const char* kData =
    "file: events.csv\nsplit: {by: time, time: t, tie: [u, i], ratios: [0.5, 0.5]}\nlabel: {column: r, at_least: 4}\n"
    "filter: {column: t, above: 0}\njoin: [{file: items.csv, key: i}]\nfields:\n"
    "  - {columns: [u, i]}\n  - {column: genres, name: genre, first_of: \"|\"}\n"
    "  - {name: h, kind: history, user: u, item: i, time: t, max_length: 2, min_length: 1}\n";

class EventLogTest : public ::testing::Test {
 protected:
  EventLogTest() {
    dir_.write("items.csv", "i,title,genres\n1,One,War|Drama\n2,Two,Comedy\n3,Three,Drama|War\n");
    dir_.write("events.csv",
               "u,i,r,t\n"
               "ann,3,5,4\n"    // event 0
               "ann,2,1,0\n"    // left out
               "bob,1,4,1\n"    // 1: no sample, nothing before it
               "ann,1,2,1\n"    // 2: no sample
               "ann,2,4,2\n"    // 3
               "bob,9,3,3\n"    // 4: not among the items
               "ann,9,3,5\n");  // 5
  }
  EventLog read(const std::vector<std::string>& columns, const std::string& history = "h") {
    return EventLog::read(Config::load(dir_.write("data.yaml", kData)), columns, history, 2);
  }
  TempDir dir_;
};

TEST_F(EventLogTest, SamplesAreThoseOfTheSplitsInTheOrderOfTheFile) {
  const EventLog log = read({"u"});
  EXPECT_EQ(log.events(), 6);
  EXPECT_THAT(log.samples("train"), ElementsAre(3, 4));  // in time: 3, 4, 0, 5
  EXPECT_THAT(log.samples("valid"), ElementsAre(0, 5));
  EXPECT_THAT(log.samples("test"), IsEmpty());
  EXPECT_EQ(log.label(0), 1);
  EXPECT_EQ(log.label(4), 0);
  EXPECT_THAT(error_of([&] { log.samples("tset"); }, 2), HasSubstr("train, valid, test"));
}

TEST_F(EventLogTest, HistoriesAreTheEventsBefore) {
  const EventLog log = read({"u"});
  EXPECT_THAT(log.history(5), ElementsAre(3, 0));  // the last two
  EXPECT_THAT(log.history(3), ElementsAre(2));
  EXPECT_THAT(log.history(2), IsEmpty());
}

TEST_F(EventLogTest, CellsAreTokensOfFieldsOrRawCells) {
  const EventLog log = read({"genre", "title", "genres"});
  const size_t genre = log.column("genre"), title = log.column("title"), genres = log.column("genres");
  EXPECT_EQ(log.cell(genre, 1), "War");
  EXPECT_EQ(log.cell(genres, 1), "War|Drama");
  EXPECT_EQ(log.cell(title, 0), "Three");
  EXPECT_EQ(log.cell(title, 4), "");
  EXPECT_EQ(log.code(title, 4), 0);
  EXPECT_EQ(log.code(title, 1), log.code(title, 2));
  EXPECT_NE(log.code(title, 1), log.code(title, 3));
  EXPECT_EQ(log.tokens(genre), 4);  // missing, Drama, War, Comedy
  EXPECT_THAT(error_of([&] { log.column("titel"); }, 2), HasSubstr("genre, title, genres"));
}

TEST_F(EventLogTest, UnknownNamesAreRefused) {
  EXPECT_THAT(error_of([&] { read({"titel"}); }), HasSubstr("did you mean 'title'?"));
  EXPECT_THAT(error_of([&] { read({"u"}, "hist"); }, 2), HasSubstr("'hist' is no history"));
}

TEST_F(EventLogTest, TheChecksumIsThatOfTheEvents) {
  const uint64_t before = read({"title"}).checksum();
  EXPECT_EQ(read({"title"}).checksum(), before);
  dir_.write("items.csv", "i,title,genres\n1,One,War|Drama\n2,Two,Comedy\n3,Three!,Drama|War\n");
  EXPECT_NE(read({"title"}).checksum(), before);
}

}  // namespace
}  // namespace interplay::testing::event_log_test
