// Labels that rows may lack, and groups.
#include <cmath>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <interplay/data/no_group.h>

#include "data/schema/token_index.h"
#include "data/spec/data_spec.h"
#include "data/spec/row_parser.h"
#include "support/error_of.h"

namespace interplay::labels_test {
namespace {

using testing::config_error;
using testing::data_error;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsNan;

DataSpec spec(const std::string& label) {
  return DataSpec::parse(Config::parse("{format: csv, file: a.csv, split: {by: random}, label: " + label +
                                       ", fields: [{column: x, kind: numeric}]}"));
}

std::vector<float> labels(const std::string& label, const std::vector<std::string>& buy,
                          const std::vector<std::string>& click = {}) {
  RawBatch raw;
  raw.rows = int64_t(buy.size());
  raw.columns.push_back(make_raw_column("buy", buy));
  raw.columns.push_back(make_raw_column("click", click.empty() ? std::vector<std::string>(buy.size(), "1") : click));
  raw.columns.push_back(make_raw_column("x", std::vector<std::string>(buy.size(), "0")));
  const DataSpec s = spec(label);
  return RowParser(s.plain_schema(), s).parse(raw, true, nullptr).labels;
}

TEST(Labels, AnEmptyCellIsRefusedUnlessTheLabelIsOptional) {
  const std::string refused = data_error([] { labels("buy", {"1", ""}); });
  EXPECT_THAT(refused, HasSubstr("is empty, but it is the label"));
  EXPECT_THAT(refused, HasSubstr("{column: buy, optional: true}"));
  EXPECT_THAT(labels("{column: buy, optional: true}", {"1", "", "0"}), ElementsAre(1, IsNan(), 0));
}

TEST(Labels, ANumberMayTakeThePlaceOfAnEmptyCell) {
  EXPECT_THAT(labels("{column: buy, missing: 0}", {"1", "", "0"}), ElementsAre(1, 0, 0));
  EXPECT_THAT(labels("{column: buy, at_least: 0.5, missing: 1}", {"0.7", "", "0.2"}), ElementsAre(1, 1, 0));
}

TEST(Labels, ACompareLeavesMissingOnesMissing) {
  EXPECT_THAT(labels("{column: buy, at_least: 4, optional: true}", {"5", "", "3"}), ElementsAre(1, IsNan(), 0));
}

TEST(Labels, AConditionSaysWhichRowsHaveIt) {
  EXPECT_THAT(labels("{column: buy, only: {column: click, at_least: 1}}", {"1", "0", "0", ""}, {"1", "1", "0", "0"}),
              ElementsAre(1, 0, IsNan(), IsNan()));
}

TEST(Labels, EachHasItsOwnGaps) {
  EXPECT_THAT(labels("[click, {column: buy, optional: true}]", {"", "1"}, {"1", "0"}), ElementsAre(1, IsNan(), 0, 1));
}

TEST(DataYaml, NamesAreUtf8) {
  EXPECT_THAT(config_error([] { spec("caf\xE9"); }),
              HasSubstr("label: 'caf\\xe9' is not UTF-8; write data.yaml in UTF-8"));
  EXPECT_THAT(config_error([] { spec("[{column: y, optional: true}, {column: caf\xE9}]"); }),
              HasSubstr("label.1.column: 'caf\\xe9' is not UTF-8"));
  EXPECT_EQ(spec("caf\xC3\xA9").label_names(), std::vector<std::string>{"café"});
}

TEST(Groups, RowsWithoutOneAreNobodys) {
  const auto groups = [](const std::string& missing_tokens) {
    RawBatch raw;
    raw.rows = 4;
    raw.columns.push_back(make_raw_column("y", {"1", "0", "1", "0"}));
    raw.columns.push_back(make_raw_column("x", {"0", "0", "0", "0"}));
    raw.columns.push_back(make_raw_column("user", {"u", "", "NULL", "u"}));
    const DataSpec s = DataSpec::parse(Config::parse(
        "{format: csv, file: a.csv, split: {by: random}, label: y, group: user, missing_tokens: " + missing_tokens +
        ", fields: [{column: x, kind: numeric}]}"));
    return RowParser(s.plain_schema(), s).parse(raw, true, nullptr).group;
  };
  const auto hash = [](const char* token) { return int64_t(token_hash(token)); };
  EXPECT_EQ(kNoGroup, hash(""));  // as in data prepared before there was a name for it
  EXPECT_THAT(groups("[]"), ElementsAre(hash("u"), kNoGroup, hash("NULL"), hash("u")));
  EXPECT_THAT(groups("[\"NULL\"]"), ElementsAre(hash("u"), kNoGroup, kNoGroup, hash("u")));
}

TEST(Labels, ContradictionsAreNamed) {
  EXPECT_THAT(config_error([] { spec("{column: buy, optional: true, missing: 0}"); }), HasSubstr("leave one out"));
  EXPECT_THAT(config_error([] { spec("{column: buy, missing: 0.5}"); }), HasSubstr("expected 0 or 1"));
  EXPECT_THAT(config_error([] { spec("{column: buy, only: {column: click}}"); }), HasSubstr("at_least or above"));
}

}  // namespace
}  // namespace interplay::labels_test
