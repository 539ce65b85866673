#include <cmath>

#include <gtest/gtest.h>

#include "data/spec/number.h"

namespace interplay::number_test {
namespace {

TEST(ParseNumber, TakesWhatProgramsWrite) {
  const std::pair<const char*, double> numbers[] = {{"0", 0},
                                                    {"007", 7},
                                                    {"-1", -1},
                                                    {"+1", 1},
                                                    {"+2.5e3", 2500},
                                                    {"+.5", 0.5},
                                                    {" 3", 3},
                                                    {"3 ", 3},
                                                    {" +3 ", 3},
                                                    {"True", 1},
                                                    {"true", 1},
                                                    {"TRUE", 1},
                                                    {"False", 0},
                                                    {"false", 0},
                                                    {"FALSE", 0},
                                                    {"1e-400", 0},
                                                    {"-1e-400", 0},
                                                    {"1E-99999", 0},
                                                    {"1e-310", 1e-310},
                                                    {"1.5e308", 1.5e308},
                                                    {"9007199254740993", 9007199254740992.0}};
  for (const auto& [text, expected] : numbers) {
    double value = -99;
    EXPECT_TRUE(parse_number(text, value)) << text;
    EXPECT_EQ(value, expected) << text;
  }
  double tiny = 1;
  EXPECT_TRUE(parse_number("0." + std::string(400, '0') + "1", tiny));
  EXPECT_EQ(tiny, 0);
}

TEST(ParseNumber, RefusesTheRest) {
  for (const char* text : {"",    " ",    "+",    "-",   "+-1", "-+1",  "++1", "1+",  "1e400", "-1e400", "nan",
                           "inf", "-inf", "0x10", "1,5", "1 2", "tRUE", "T",   "yes", "\\N",   "1e",     "3\t"}) {
    double value = 0;
    EXPECT_FALSE(parse_number(text, value)) << text;
  }
  double large = 0;
  EXPECT_FALSE(parse_number("1" + std::string(400, '0'), large));
  EXPECT_FALSE(parse_number("1" + std::string(400, '0') + ".5", large));
}

TEST(ParseRest, IsWhatTheDoubleLeavesOut) {
  const auto rest = [](std::string_view cell) {
    double nearest = 0;
    float rest = -99;
    EXPECT_TRUE(parse_number(cell, nearest) && parse_rest(cell, nearest, rest)) << cell;
    return rest;
  };
  EXPECT_EQ(rest("123"), 0);
  EXPECT_EQ(rest("9007199254740992"), 0);
  EXPECT_EQ(rest("9007199254740993"), 1);  // 2^53 + 1, to even
  EXPECT_EQ(rest("-9007199254740993"), -1);
  EXPECT_EQ(rest("+9007199254740993"), 1);
  EXPECT_EQ(rest("1500000000000000000"), 0);
  EXPECT_EQ(rest("9223372036854775807"), -1);  // 2^63 - 1
  EXPECT_EQ(rest("1.5e+18"), 0);
  EXPECT_EQ(rest("0.5"), 0);
  EXPECT_EQ(rest("1.50000000000000000000000"), 0);
  EXPECT_EQ(rest("0.00000000000000000000000"), 0);
  EXPECT_NEAR(rest("0.1"), 0.1L - 0.1, 1e-20);  // 0.1 as a double is 5.55e-18 too large
  EXPECT_EQ(rest("1677628800.1"), rest("1677628800.10"));
  float any = 0;
  EXPECT_FALSE(parse_rest("20230301181139580123", 20230301181139580123.0, any));
  EXPECT_FALSE(parse_rest("1677628800.12345678901", 1677628800.12345678901, any));
}

}  // namespace
}  // namespace interplay::number_test
