#include "data/read/line_splitter.h"

#include <algorithm>
#include <vector>

#include <arrow/csv/options.h>
#include <arrow/csv/parser.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <interplay/base/random.h>

namespace interplay::line_splitter_test {
namespace {

using ::testing::ElementsAre;
using Rows = std::vector<std::vector<std::string>>;

Rows cells_of(const SplitLines& lines, const std::string& text, int64_t columns) {
  Rows rows;
  for (int64_t r = 0; r < lines.rows; ++r) {
    auto& row = rows.emplace_back();
    const int32_t* const at = lines.begins.get() + r * (columns + 1);
    for (int64_t c = 0; c < columns; ++c) row.push_back(text.substr(size_t(at[c]), size_t(at[c + 1] - at[c] - 1)));
  }
  return rows;
}

TEST(LineSplitter, CellsLieBetweenSeparatorsAndLineEnds) {
  const std::string text = "a\tbb\t\n\t\t\nc\td\te\r\n";
  EXPECT_THAT(cells_of(split_lines(text, '\t', 3, 3), text, 3),
              ElementsAre(ElementsAre("a", "bb", ""), ElementsAre("", "", ""), ElementsAre("c", "d", "e")));
}

TEST(LineSplitter, LinesOfAnotherWidthAreToldWithTheirPlaceAndText) {
  const std::string text = "a,b\nc\n,,\r\nd,e\nf,g,h,i\n";
  const SplitLines lines = split_lines(text, ',', 2, 5);
  EXPECT_THAT(cells_of(lines, text, 2), ElementsAre(ElementsAre("a", "b"), ElementsAre("d", "e")));
  ASSERT_EQ(lines.wrong.size(), 3u);
  EXPECT_EQ(std::tuple(lines.wrong[0].index, lines.wrong[0].found, lines.wrong[0].text), std::tuple(1, 1, "c"));
  EXPECT_EQ(std::tuple(lines.wrong[1].index, lines.wrong[1].found, lines.wrong[1].text), std::tuple(2, 3, ",,"));
  EXPECT_EQ(std::tuple(lines.wrong[2].index, lines.wrong[2].found, lines.wrong[2].text), std::tuple(4, 4, "f,g,h,i"));
}

TEST(LineSplitter, ZeroMaySeparate) {
  const std::string text("a\0b\n", 4);
  EXPECT_THAT(cells_of(split_lines(text, '\0', 2, 1), text, 2), ElementsAre(ElementsAre("a", "b")));
}

TEST(LineSplitter, ItsCellsAreThoseOfArrow) {
  for (uint64_t trial = 0; trial < 400; ++trial) {
    const auto columns = int64_t(1 + trial % 5);
    std::string text;
    int64_t lines = 0;
    for (uint64_t i = 0; lines < 30; ++i) {
      const uint64_t bits = random_bits(trial, 0, i);
      const bool ends = bits % uint64_t(3 * columns) == 0 && !text.empty() && text.back() != '\n';
      if (ends) text += bits >> 40 & 1 ? "\r\n" : "\n", ++lines;
      if (!ends) text += bits >> 20 & 1 ? std::string(1, '\t') : std::string(bits >> 32 & 15, char('a' + i % 26));
    }
    Rows expected, wrong;
    auto options = arrow::csv::ParseOptions::Defaults();
    options.delimiter = '\t';
    options.quoting = false;
    options.ignore_empty_lines = false;
    options.invalid_row_handler = [&](const arrow::csv::InvalidRow& row) {
      wrong.push_back({std::to_string(row.number - 1), std::to_string(row.actual_columns), std::string(row.text)});
      return arrow::csv::InvalidRowResult::Skip;
    };
    arrow::csv::BlockParser parser(options, int32_t(columns), 1, 1000);
    uint32_t parsed = 0;
    ASSERT_TRUE(parser.Parse(text, &parsed).ok());
    ASSERT_EQ(parsed, text.size());
    expected.resize(size_t(parser.num_rows()));
    for (int32_t c = 0; c < columns; ++c) {
      size_t r = 0;
      const auto visit = [&](const uint8_t* data, uint32_t bytes, bool, bool) {
        expected[r++].emplace_back(reinterpret_cast<const char*>(data), bytes);
        return arrow::Status::OK();
      };
      ASSERT_TRUE(parser.VisitColumn(c, visit).ok());
    }
    const SplitLines split = split_lines(text, '\t', columns, lines);
    EXPECT_EQ(cells_of(split, text, columns), expected);
    Rows told;
    for (const auto& row : split.wrong)
      told.push_back({std::to_string(row.index), std::to_string(row.found), row.text});
    EXPECT_EQ(told, wrong);
  }
}

}  // namespace
}  // namespace interplay::line_splitter_test
