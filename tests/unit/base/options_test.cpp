#include <cmath>
#include <map>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <interplay/base/options.h>

#include "support/error_of.h"

namespace interplay::testing::options_test {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

struct Inner {
  int64_t size = 2;
  void visit(auto&& field) { field("size", size, "a size", Range{1, 8}); }
};

struct Options {
  bool flag = false;
  int64_t count = 3;
  double rate = 0.5;
  std::string mode = "fast";
  std::vector<int64_t> widths{64, 32};
  std::optional<double> limit;
  std::map<std::string, double> weights;
  Inner inner;
  std::vector<Inner> parts;
  Config rest;
  void visit(auto&& field) {
    field("flag", flag, "a truth value");
    field("count", count, "a count", Range{1, 1e6});
    field("rate", rate, "a rate", Range{0, 1});
    field("mode", mode, "a mode", OneOf{{"fast", "exact"}});
    field("widths", widths, "widths", Range{1, 4096});
    field("limit", limit, "a limit", Range{0, 10});
    field("weights", weights, "weights by name");
    field("inner", inner, "a part");
    field("parts", parts, "parts");
    field("rest", rest, "somebody else reads this");
  }
};

Options read(const std::string& yaml) {
  Options options;
  read_options(options, Config::parse(yaml, "f"), "model 'x'");
  return options;
}

std::string error(const std::string& yaml) {
  return config_error([&] { read(yaml); });
}

TEST(Options, AbsentKeysKeepTheirDefaults) {
  const Options o = read("{}");
  EXPECT_EQ(o.count, 3);
  EXPECT_EQ(o.mode, "fast");
  EXPECT_FALSE(o.limit.has_value());
  EXPECT_EQ(read("~").count, 3);
}

TEST(Options, EveryKindIsRead) {
  const Options o = read(
      "{flag: yes, count: 1e3, rate: 1, mode: exact, widths: 7, limit: 2, weights: {a: 1, b.c: -2.5}, inner: {size: "
      "4}, "
      "parts: [{size: 1}, {}], rest: {any: thing}}");
  EXPECT_TRUE(o.flag);
  EXPECT_EQ(o.count, 1000);
  EXPECT_EQ(o.rate, 1.0);
  EXPECT_EQ(o.mode, "exact");
  EXPECT_THAT(o.widths, ElementsAre(7)) << "one value is a list of one";
  EXPECT_EQ(o.limit, 2.0);
  EXPECT_EQ(o.weights, (std::map<std::string, double>{{"a", 1}, {"b.c", -2.5}}));
  EXPECT_EQ(o.inner.size, 4);
  ASSERT_EQ(o.parts.size(), 2u);
  EXPECT_EQ(o.parts[0].size, 1);
  EXPECT_EQ(o.parts[1].size, 2);
  EXPECT_EQ(o.rest["any"].as<std::string>(), "thing");
  EXPECT_FALSE(read("{limit: ~}").limit.has_value());
}

TEST(Options, WhatIsWrittenIsReadAgainAsItWas) {
  Options o =
      read("{mode: exact, weights: {a.b: 1, \"NULL\": 2}, parts: [{size: 3}], rest: {x: [~, \"~\"]}, limit: 0.1}");
  o.rate = 0.1 + 0.2;  // of which no short decimal is equal
  const Config written = write_options(o);
  const Options again = read(written.yaml());
  EXPECT_TRUE(write_options(again) == written);
  EXPECT_EQ(again.rate, o.rate);
  EXPECT_EQ(again.weights, o.weights);
  EXPECT_EQ(again.parts[0].size, 3);
  EXPECT_THAT(written.keys(),
              ElementsAre("flag", "count", "rate", "mode", "widths", "limit", "weights", "inner", "parts", "rest"));
}

TEST(Options, NumbersAreWrittenAsTheyAreRead) {
  for (const double x : {0.0, -0.0, 1.0, 0.1, 1e-300, 5e-324, 1.7976931348623157e308, 1e22, 123456789.125,
                         double(INFINITY), -double(INFINITY)}) {
    const double again = Config::parse(detail::to_config(x).yaml()).as<double>();
    EXPECT_EQ(again, x);
    EXPECT_EQ(std::signbit(again), std::signbit(x));
  }
  EXPECT_TRUE(std::isnan(Config::parse(detail::to_config(double(NAN)).yaml()).as<double>()));
  for (const int64_t i : {int64_t(0), INT64_MAX, INT64_MIN, int64_t(1) << 53})
    EXPECT_EQ(Config::parse(detail::to_config(i).yaml()).as<int64_t>(), i);
}

TEST(Options, MistakesNameThePlaceAndWhatWasExpected) {
  EXPECT_EQ(error("{cuont: 1}"),
            "f:1: cuont: unknown key of model 'x'; did you mean count? (keys: flag, count, rate, mode, widths, limit, "
            "weights, inner, parts, rest)");
  EXPECT_EQ(error("{count: 0}"), "f:1: count: 0 is out of range; expected 1 to 1000000");
  EXPECT_EQ(error("{count: 1.5}"), "f:1: count: '1.5' is not a whole number");
  EXPECT_EQ(error("{rate: .nan}"), "f:1: rate: nan is out of range; expected 0 to 1");
  EXPECT_THAT(error("{mode: fats}"), HasSubstr("'fats' is not known; did you mean 'fast'? (expected fast | exact)"));
  EXPECT_THAT(error("{widths: [1, 0]}"), HasSubstr("0 is out of range"));
  EXPECT_THAT(error("{limit: 11}"), HasSubstr("limit: 11 is out of range; expected 0 to 10"));
  EXPECT_THAT(error("{inner: {size: 9}}"), HasSubstr("inner.size: 9 is out of range"));
  EXPECT_THAT(error("{inner: {siz: 1}}"), HasSubstr("inner.siz: unknown key; did you mean inner.size?"));
  EXPECT_THAT(error("{parts: [{size: 1}, {size: 9}]}"), HasSubstr("parts.1.size: 9 is out of range"));
  EXPECT_THAT(error("{weights: {a: x}}"), HasSubstr("weights.a: 'x' is not a number"));
  EXPECT_THAT(error("[a]"), HasSubstr("expected a map of options"));
  EXPECT_THAT(error("{flag: 2}"), HasSubstr("'2' is not a truth value"));
}

TEST(Options, AreDescribedWithTypeDefaultAndLimits) {
  const auto lines = describe_options<Options>();
  ASSERT_EQ(lines.size(), 12u);  // ten members, two of which have a member of their own
  EXPECT_EQ(lines[1].name, "count");
  EXPECT_EQ(lines[1].type, "int");
  EXPECT_EQ(lines[1].value, "3");
  EXPECT_EQ(lines[1].doc, "a count");
  EXPECT_EQ(lines[1].limits, "1 to 1000000");
  EXPECT_EQ(lines[3].limits, "fast | exact");
  EXPECT_EQ(lines[4].type, "list of int");
  EXPECT_EQ(lines[4].value, "[64, 32]");
  EXPECT_EQ(lines[5].type, "number or nothing");
  EXPECT_EQ(lines[5].value, "~");
  EXPECT_EQ(lines[7].name, "inner");
  EXPECT_EQ(lines[8].name, "inner.size");
}

}  // namespace
}  // namespace interplay::testing::options_test
