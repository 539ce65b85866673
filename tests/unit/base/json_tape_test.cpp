#include <interplay/base/json_tape.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <interplay/base/error.h>

namespace interplay::json_tape_test {
namespace {

using ::testing::HasSubstr;
using Kind = JsonTape::Kind;

/// Written back without spaces.
std::string shown(JsonTape::Value value) {
  std::string out;
  switch (value.kind()) {
    case Kind::null: return "null";
    case Kind::boolean:
    case Kind::number: return std::string(value.text());
    case Kind::string: return fmt::format("'{}'", value.text());
    case Kind::array:
      for (const auto entry : value.values()) out += (out.empty() ? "" : ",") + shown(entry);
      return "[" + out + "]";
    case Kind::object:
      for (const auto [key, entry] : value.members()) {
        if (!out.empty()) out += ',';
        out += fmt::format("{}:{}", key, shown(entry));
      }
      return "{" + out + "}";
  }
  return out;
}

std::string read(std::string text) {
  JsonTape tape;
  return shown(tape.parse(text));
}
std::string refusal(std::string text) {
  JsonTape tape;
  try {
    return shown(tape.parse(text));
  } catch (const Error& error) {
    return error.what();
  }
}

TEST(JsonTape, ValuesComeInTheOrderOfTheText) {
  EXPECT_EQ(read(R"( {"a": [1, [2.50, -3e4], {}], "b": {"c": null, "d": [true, false]}, "a": "x"} )"),
            "{a:[1,[2.50,-3e4],{}],b:{c:null,d:[true,false]},a:'x'}");
  EXPECT_EQ(read("[]"), "[]");
  EXPECT_EQ(read("7"), "7");
}

TEST(JsonTape, EscapesAreText) {
  EXPECT_EQ(read(R"(["\u0041\n\"\\\/", "\ud83d\ude00"])"), "['A\n\"\\/','\xf0\x9f\x98\x80']");
}

TEST(JsonTape, NumbersAreAsTheyAreWritten) {
  EXPECT_EQ(read("[12345678901234567890123, 1.10, 0.0, -0]"), "[12345678901234567890123,1.10,0.0,-0]");
}

TEST(JsonTape, WhatIsNoJsonIsRefusedWithItsPlace) {
  EXPECT_THAT(refusal("{\"a\": 1,}"), HasSubstr("at byte 9"));
  for (const char* text : {"", "{", "[1", "[1,]", "{\"a\" 1}", "nul", "[01]", "[1.]", "[+1]", "['a']", "\"\x01\"",
                           "[1] 2", "\"\xff\"", "\"\\ud800\"", "\"\\x\"", "\"a", "[NaN]", "// no\n1"}) {
    EXPECT_THAT(refusal(text), HasSubstr("not JSON at byte")) << text;
  }
}

TEST(JsonTape, HalfOfASurrogatePairIsNoText) {
  for (const char* text : {R"("ab\udddd")", R"("\udc00\ud83d\ude00")", R"(["\udfff"])", R"({"ab\udc00": 1})"})
    EXPECT_THAT(refusal(text), HasSubstr("half of a surrogate pair")) << text;
  EXPECT_THAT(refusal(R"([1, "ab\udddd"])"), HasSubstr("not JSON at byte 5: "));
  EXPECT_EQ(read(R"(["\ud83d\ude00 \ud7ff \ue000"])"), "['\xf0\x9f\x98\x80 \xed\x9f\xbf \xee\x80\x80']");
}

TEST(JsonTape, AZeroByteDoesNotEndTheText) {
  EXPECT_THAT(refusal(std::string("[1]\0[2]", 7)), HasSubstr("not JSON at byte 4"));
}

TEST(JsonTape, DepthCostsNoStack) {
  const std::string deep = std::string(1000000, '[') + std::string(1000000, ']');
  JsonTape tape;
  std::string text = deep;
  EXPECT_TRUE(tape.parse(text).is(Kind::array));
  EXPECT_THAT(refusal(std::string(1000000, '[')), HasSubstr("not JSON"));
}

TEST(JsonTape, OnlyTheFirstBytesAreReadWhereTheyAreTold) {
  JsonTape tape;
  std::string text = "[1]binary";
  EXPECT_EQ(shown(tape.parse(text, 3)), "[1]");
  EXPECT_EQ(text.substr(3), "binary");
}

TEST(JsonTape, TakesOneTextAfterAnother) {
  JsonTape tape;
  std::string first = "[1, 2, 3]", bad = "[[", second = "{\"a\": 1}";
  tape.parse(first);
  EXPECT_THROW(tape.parse(bad), Error);
  EXPECT_EQ(shown(tape.parse(second)), "{a:1}");
}

}  // namespace
}  // namespace interplay::json_tape_test
