// What is said of users and items, by hand: of training rows alone.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/error_of.h"
#include "support/temp_dir.h"
#include "systems/autograph/node_texts.h"

namespace interplay::autograph::autograph_texts_test {
namespace {

using interplay::testing::config_error;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr const char* kData = R"(
file: events.csv
split: {by: user_last, user: u, time: t}
label: {column: r, above: 3}
fields:
  - {columns: [u, i, sex]}
  - {name: past, kind: history, user: u, item: i, time: t}
)";
// Of ann's five rows the last two are for test and valid; her third is no click. Bob's last two likewise.
constexpr const char* kEvents = R"(u,i,t,r,sex,title,genres
ann,1,1,5,F,Heat (1995),Crime|Drama
ann,2,2,4,F,Alien (1979),Horror
ann,3,3,1,F,Jaws (1975),Western
ann,4,4,5,F,Secret (1901),Secret
ann,5,5,5,F,Hidden (1902),Hidden
bob,1,1,5,M,Heat (1995),Crime|Drama
bob,6,2,5,M,Bambi (1942),Secret
bob,5,3,5,M,Hidden (1902),Hidden
)";
constexpr const char* kUsers = R"(
field: u
template: "a {sex} viewer of {genres}, of the {decades}, as {titles}"
words: {sex: {F: female, M: male}}
taste:
  genres: {separator: "|", most: 2}
  decades: {column: title, shorten: '^.*\(|\d\)$', after: 0s, most: 2}
  titles: {column: title, most: 1}
)";

class AutoGraphTexts : public ::testing::Test {
 protected:
  AutoGraphTexts() {
    dir_.write("events.csv", kEvents);
    dir_.write("data.yaml", kData);
  }
  NodeTexts texts(const std::string& yaml) const {
    const Config at = Config::parse(yaml);
    NodeOptions options;
    read_options(options, at);
    return NodeTexts(EventLog::read(Config::load(dir_ / "data.yaml"), NodeTexts::columns(options, at), "past"), options,
                     at);
  }
  const interplay::testing::TempDir dir_;
};

TEST_F(AutoGraphTexts, TellTasteByPositiveTrainingRowsAlone) {
  const auto users = texts(kUsers);
  EXPECT_THAT(users.keys(), ElementsAre("ann", "bob"));
  // Of equally frequent values those are first that more rows have, Crime, Drama and Heat; then by name.
  EXPECT_THAT(users.texts(), ElementsAre("a female viewer of Crime, Drama, of the 1990s, 1970s, as Heat (1995)",
                                         "a male viewer of Crime, Drama, of the 1990s, as Heat (1995)"));
}

TEST_F(AutoGraphTexts, TellItemsByTheirColumnsAndCallThemByTheirTitles) {
  const auto items = texts("{field: i, template: '{title}: {genres}', title: title}");
  EXPECT_THAT(items.keys(), ElementsAre("1", "2", "3"));  // those of training rows
  EXPECT_THAT(items.texts(), ElementsAre("Heat (1995): Crime|Drama", "Alien (1979): Horror", "Jaws (1975): Western"));
  EXPECT_THAT(items.titles(), ElementsAre("Heat (1995)", "Alien (1979)", "Jaws (1975)"));
}

TEST_F(AutoGraphTexts, SayWhatDoesNotFitTheTemplate) {
  EXPECT_THAT(config_error([&] { texts("{field: i, template: '{title'}"); }), HasSubstr("template"));
  EXPECT_THAT(config_error([&] { texts("{field: i, template: x, words: {sex: {F: f}}}"); }),
              HasSubstr("the template has no {sex}"));
  EXPECT_THAT(config_error([&] { texts("{field: i, template: x, taste: {sex: {most: 1}}}"); }),
              HasSubstr("the template has no {sex}"));
  EXPECT_THAT(config_error([&] { texts("{field: i, template: '{a}', taste: {a: {column: title, shorten: '('}}}"); }),
              HasSubstr("is no regular expression"));
}

}  // namespace
}  // namespace interplay::autograph::autograph_texts_test
