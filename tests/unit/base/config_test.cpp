#include <algorithm>
#include <chrono>
#include <random>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <interplay/base/config.h>

#include "support/error_of.h"
#include "support/temp_dir.h"

namespace interplay::testing::config_test {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

Config text(const std::string& value) { return Config::scalar(value, true); }

/// What YAML 1.1 and 1.2 give another meaning, and what no line of YAML can hold as it is.
std::vector<std::string> misread_strings() {
  std::vector<std::string> all{"",
                               "NULL",
                               "Null",
                               "null",
                               "~",
                               "nULL",
                               "yes",
                               "Yes",
                               "YES",
                               "no",
                               "No",
                               "NO",
                               "on",
                               "On",
                               "ON",
                               "off",
                               "Off",
                               "OFF",
                               "y",
                               "Y",
                               "n",
                               "N",
                               "true",
                               "True",
                               "TRUE",
                               "false",
                               "False",
                               "FALSE",
                               "1",
                               "0",
                               "-1",
                               "+1",
                               "010",
                               "0x1F",
                               "0o17",
                               "0b11",
                               "1e3",
                               "1E3",
                               "1e999",
                               "-1.5e-3",
                               "1_000",
                               "1.",
                               ".5",
                               "1.5",
                               "12:30:45",
                               "2024-01-31",
                               "2024-01-31T00:00:00Z",
                               ".inf",
                               "-.inf",
                               "+.inf",
                               ".Inf",
                               ".INF",
                               ".nan",
                               ".NaN",
                               ".NAN",
                               "inf",
                               "nan",
                               ".",
                               "..",
                               "...",
                               "---",
                               "--- a",
                               "-",
                               "--",
                               "- a",
                               "-a",
                               "?",
                               "? a",
                               "?a",
                               ":",
                               ": a",
                               ":a",
                               "a:",
                               "a: b",
                               "a:b",
                               "a :b",
                               "#",
                               "#x",
                               "a #x",
                               "a# x",
                               "&a",
                               "*a",
                               "!a",
                               "!!str a",
                               "|",
                               "|-",
                               ">",
                               ">-",
                               "%a",
                               "@a",
                               "`a",
                               "'",
                               "''",
                               "'a'",
                               "\"",
                               "\"\"",
                               "\"a\"",
                               "it's",
                               "say \"x\"",
                               "\\",
                               "a\\",
                               "\\n",
                               "\\x41",
                               "{",
                               "}",
                               "{}",
                               "{a: b}",
                               "[",
                               "]",
                               "[]",
                               "[a, b]",
                               ",",
                               "a,b",
                               "a, b",
                               "<<",
                               "=",
                               " ",
                               "  ",
                               " a",
                               "a ",
                               " a ",
                               "\ta",
                               "a\t",
                               "\t",
                               "\n",
                               "a\n",
                               "\na",
                               "a\nb",
                               "a\n\nb",
                               "a\r\nb",
                               "\r",
                               "a\rb",
                               "\x7f",
                               "\x1b[31m",
                               "caf\xc3\xa9",
                               "\xe4\xb8\xad\xe6\x96\x87",
                               "\xf0\x9f\x98\x80",
                               "\xc2\x85",
                               "a\xc2\x85"
                               "b",
                               "\xe2\x80\xa8",
                               "\xe2\x80\xa9",
                               "\xef\xbb\xbf",
                               "\xef\xbb\xbf"
                               "a",
                               "\xc2\xa0",
                               "\xff",
                               "\x80",
                               "\xc3",
                               "a.b",
                               "a/b",
                               "a-b",
                               "a_b",
                               "/a",
                               "./a",
                               "../a",
                               "~/a",
                               "$HOME",
                               "a=b",
                               "a;b",
                               "(a)",
                               "50%",
                               "a*b",
                               "a&b",
                               "a|b",
                               "C:\\x",
                               "http://x/?a=b#c"};
  for (int byte = 0; byte < 0x20; ++byte) {
    all.push_back(std::string(1, char(byte)));
    all.push_back("a" + std::string(1, char(byte)) + "b");
  }
  for (const size_t length : {100, 1000, 1023, 1024, 1025, 5000, 100'000}) {
    all.push_back(std::string(length, 'x'));
    all.push_back(std::string(length, ' '));
    all.push_back(std::string(length, 'x') + ": y");
  }
  return all;
}

/// A tree that holds `value` as a value, a key and an item of lists, at several depths. `other` is a second such.
Config tree_of(const std::string& value, const std::string& other) {
  Config inner, outer, root;
  inner.set_key(value, text(other));
  inner.set_key(value + "'", Config::parse("~"));
  outer.set_key(other + "x", inner);
  outer.set_key("list", Config::sequence({text(value), text(other), Config::parse("~"), text(value)}));
  outer.set_key("maps", Config::sequence({inner, text(value), Config(), Config::sequence({}), inner}));
  outer.set_key("lists", Config::sequence({Config::sequence({text(value)}),
                                           Config::sequence({inner, Config::sequence({inner, text(other)})})}));
  root.set_key("value", text(value));
  root.set_key(value + "k", outer);
  root.set_key("last", Config::sequence({outer}));
  return root;
}

void expect_equal_again(const Config& config, const std::string& shown) {
  const std::string yaml = config.yaml();
  Config again;
  ASSERT_NO_THROW(again = Config::parse(yaml)) << "of '" << shown << "':\n" << yaml.substr(0, 2000);
  EXPECT_TRUE(again == config) << "of '" << shown << "':\n"
                               << yaml.substr(0, 2000) << "\nread as\n"
                               << again.yaml().substr(0, 2000);
  EXPECT_EQ(again.yaml(), yaml);
}

TEST(Config, WhatIsPrintedParsesBackEqualForEveryStringThatYamlMisreads) {
  const auto strings = misread_strings();
  for (size_t i = 0; i < strings.size(); ++i) {
    SCOPED_TRACE(i);
    expect_equal_again(tree_of(strings[i], strings[(i * 7 + 3) % strings.size()]), strings[i]);
    expect_equal_again(text(strings[i]), strings[i]);
    EXPECT_EQ(Config::parse(Config::sequence({text(strings[i])}).yaml()).at(0).as<std::string>(), strings[i]);
    expect_equal_again(Config::scalar(strings[i]), strings[i]);  // and where nobody has said that it is text
  }
}

TEST(Config, WhatIsPrintedParsesBackEqualForRandomBytes) {
  std::mt19937 random(17);
  const auto bytes = [&](size_t longest) {
    std::string out(random() % longest, 0);
    const bool printable = random() % 2 == 0;  // the marks of YAML are among these
    for (char& c : out) c = char(printable ? 0x20 + random() % 0x5f : random() % 256);
    return out;
  };
  for (int i = 0; i < 1500; ++i) {
    const std::string value = bytes(i % 50 == 0 ? 3000 : 12), other = bytes(20);
    SCOPED_TRACE(::testing::PrintToString(value));
    expect_equal_again(tree_of(value, other), value);
  }
}

TEST(Config, OtherReadersOfYamlMeetNoBareWordOrNumberOfTheirs) {
  for (const auto& word : {"NULL", "Null", "~", "Yes", "NO", "on", "TRUE", "y", "N", "0x1F", "0o17", "0b11", "1_000",
                           ".NaN", ".Inf", "2024-01-31", "12", "1e3", "-1"}) {
    EXPECT_EQ(text(word).yaml(), std::string("\"") + word + "\"");
  }
  for (const auto& word :
       {"deepfm", "user_id", "a.b", "/data/x.csv", "train-00000.arrow", "nullable", "none", "yesterday"})
    EXPECT_EQ(text(word).yaml(), word);
}

TEST(Config, NumbersAndTruthValuesAreReadAsTheHeaderSays) {
  const Config c =
      Config::parse("{a: 010, b: 1e6, c: 1.e-3, d: +5, e: .inf, f: -.inf, g: .nan, h: yes, i: off, j: 1_0}");
  EXPECT_EQ(c["a"].as<int64_t>(), 10);
  EXPECT_EQ(c["b"].as<int64_t>(), 1000000);
  EXPECT_EQ(c["c"].as<double>(), 1e-3);
  EXPECT_EQ(c["d"].as<int64_t>(), 5);
  EXPECT_EQ(c["e"].as<double>(), INFINITY);
  EXPECT_EQ(c["f"].as<double>(), -INFINITY);
  EXPECT_TRUE(std::isnan(c["g"].as<double>()));
  EXPECT_TRUE(c["h"].as<bool>());
  EXPECT_FALSE(c["i"].as<bool>());
  EXPECT_THAT(config_error([&] { c["j"].as<int64_t>(); }), HasSubstr("j: '1_0' is not a whole number"));
  EXPECT_THAT(config_error([&] { c["c"].as<int64_t>(); }), HasSubstr("is not a whole number"));
  EXPECT_THAT(config_error([&] { Config::parse("9007199254740993.0").as<int64_t>(); }), HasSubstr("not a whole"));
  EXPECT_EQ(Config::parse("9223372036854775807").as<int64_t>(), INT64_MAX);
}

TEST(Config, MessagesNameFileLineAndKey) {
  const Config c = Config::parse("a:\n  b: [1, x]\n", "file.yaml");
  EXPECT_EQ(config_error([&] { c["a"]["b"].at(1).as<int64_t>(); }), "file.yaml:2: a.b.1: 'x' is not a whole number");
  EXPECT_EQ(config_error([&] { c["a"]["c"].as<double>(); }), "file.yaml:2: a.c: missing; expected a number");
  EXPECT_THAT(config_error([&] { c["a"]["b"]["c"]; }), HasSubstr("file.yaml:2: a.b: expected a map with the key 'c'"));
  EXPECT_THAT(config_error([&] { c["a"]["b"].at(2); }), HasSubstr("has 2 items, so there is no item 2"));
  EXPECT_THAT(config_error([&] { Config::parse("a: [", "file.yaml"); }), HasSubstr("file.yaml:1: not valid YAML"));
  EXPECT_EQ(c["a"]["b"].line(), 2);
  EXPECT_EQ(c["a"]["b"].path(), "a.b");
  EXPECT_EQ(c.source(), "file.yaml");
}

TEST(Config, WhatCannotBeMeantIsRefused) {
  const auto error = [](const std::string& yaml) { return config_error([&] { Config::parse(yaml, "f"); }); };
  EXPECT_EQ(error("a: 1\nb: 2\na: 3\n"), "f:3: a: this key is written twice (first at line 1); remove one");
  EXPECT_EQ(error("x:\n  a: 1\n  a: 2\n"), "f:3: x.a: this key is written twice (first at line 2); remove one");
  for (const std::string empty : {"~", "null", "NULL", ""}) {
    EXPECT_THAT(error("x:\n  " + empty + " : 1\n"), HasSubstr("f:2: x: a key is empty"));
  }
  EXPECT_THAT(error("[a, b]: 1\n"), HasSubstr("f:1: a key is a list or map; expected text"));
  EXPECT_EQ(error("a: 1\n---\nb: 2\n"), "f:3: a second document begins (---); expected one");
  EXPECT_THAT(error("a: &x [*x]\n"), HasSubstr("f:1: "));
  EXPECT_THAT(error(std::string(5000, '[')), HasSubstr("f:1: "));
  std::string bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n";
  for (int i = 1; i < 9; ++i) {
    bomb +=
        fmt::format("a{0}: &a{0} [*a{1}, *a{1}, *a{1}, *a{1}, *a{1}, *a{1}, *a{1}, *a{1}, *a{1}, *a{1}]\n", i, i - 1);
  }
  EXPECT_EQ(error(bomb), "f: more than 1000000 values");
}

TEST(Config, NothingIsAnEmptyMapAndNullIsNoValue) {
  for (const char* nothing : {"", "\n", "# a comment\n", "---\n"})
    EXPECT_TRUE(Config::parse(nothing).is_map()) << nothing;
  for (const char* null : {"~", "null", "NULL", "~\n"}) {
    EXPECT_EQ(Config::parse(null).kind(), Config::Kind::null) << null;
  }
  const Config c = Config::parse("{a: ~, b: null, c: Null, d: NULL, e: , f: \"NULL\", g: 'null'}");
  for (const char* key : {"a", "b", "c", "d", "e"}) {
    EXPECT_TRUE(c[key].is_null() && c[key].defined()) << key;
    EXPECT_THAT(config_error([&] { c[key].as<std::string>(); }), HasSubstr("unless quoted"));
  }
  EXPECT_EQ(c["f"].as<std::string>(), "NULL");
  EXPECT_EQ(c["g"].as<std::string>(), "null");
  EXPECT_FALSE(c["h"].defined());
}

TEST(Config, SetMakesTheMapsOnTheWayAndLeavesCopiesAlone) {
  const Config before = Config::parse("{a: {b: 1}, l: [x, {y: 2}]}", "f");
  Config c = before;
  c.set("a.c.d", text("new"));
  c.set("l.1.y", Config::scalar("3"));
  c.set("a.b=[1, 2]");
  EXPECT_EQ(c["a"]["c"]["d"].as<std::string>(), "new");
  EXPECT_EQ(c["a"]["c"]["d"].path(), "a.c.d");
  EXPECT_EQ(c["l"].at(1)["y"].as<int64_t>(), 3);
  EXPECT_EQ(c["a"]["b"].size(), 2u);
  EXPECT_TRUE(before == Config::parse("{a: {b: 1}, l: [x, {y: 2}]}"));
  EXPECT_THAT(config_error([&] { c.set("l.7", text("x")); }), HasSubstr("there is no item '7'; the list has 2"));
  EXPECT_THAT(config_error([&] { c.set("l.0.z", text("x")); }), HasSubstr("is a single value, so 'z'"));
  EXPECT_THAT(config_error([&] { c.set("novalue"); }), HasSubstr("expected KEY=VALUE"));
  c.set("a.b=");
  EXPECT_EQ(c["a"]["b"].as<std::string>(), "");
  c.set("a.b=null");
  EXPECT_TRUE(c["a"]["b"].is_null());
  c.erase("l");
  EXPECT_THAT(c.keys(), ElementsAre("a"));
}

TEST(Config, SetKeyTakesAKeyThatHoldsDots) {
  Config groups = Config::parse("{dense: {lr: 1}}");
  groups.set_key("experts.0", Config::parse("{lr: 2}"));
  groups.set_key("dense", Config::parse("{lr: 3}"));
  EXPECT_THAT(groups.keys(), ElementsAre("dense", "experts.0"));
  EXPECT_EQ(groups["experts.0"]["lr"].as<int64_t>(), 2);
  EXPECT_EQ(groups["experts.0"]["lr"].path(), "experts.0.lr");
  EXPECT_EQ(groups["dense"]["lr"].as<int64_t>(), 3);
  EXPECT_TRUE(Config::parse(groups.yaml()) == groups);
  Config list = Config::sequence({});
  EXPECT_THAT(config_error([&] { list.set_key("a", text("x")); }), HasSubstr("is no map, so 'a' cannot be set in it"));
}

TEST(Config, ManyKeysAreReadInTimeLinearInTheirNumber) {
  const auto seconds = [](int keys) {
    std::string yaml;
    for (int i = 0; i < keys; ++i) yaml += fmt::format("k{}: {}\n", i, i);
    const auto begin = std::chrono::steady_clock::now();
    EXPECT_EQ(Config::parse(yaml).size(), size_t(keys));
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  };
  seconds(1000);
  // Eight times the keys: eight times the time, not sixty-four times; whatever else the machine is doing.
  const double one = std::min({seconds(10'000), seconds(10'000), seconds(10'000)});
  EXPECT_LT(std::min(seconds(80'000), seconds(80'000)), 30 * one);
}

TEST(Config, AScalarCountsAsAListOfOne) {
  EXPECT_EQ(Config::parse("x").items().size(), 1u);
  EXPECT_EQ(Config::parse("[x, y]").items().size(), 2u);
  EXPECT_THAT(config_error([] { Config::parse("{a: 1}").items(); }), HasSubstr("expected a list"));
  EXPECT_THAT(config_error([] { Config::parse("[a]").keys(); }), HasSubstr("expected a map"));
}

TEST(Config, LoadNamesTheFileThatIsNotThere) {
  const TempDir dir;
  EXPECT_THAT(config_error([&] { Config::load(dir / "none.yaml"); }),
              HasSubstr("none.yaml: cannot be read: no such file"));
  EXPECT_EQ(Config::load(dir.write("some.yaml", "a: 1\n"))["a"].as<int64_t>(), 1);
}

}  // namespace
}  // namespace interplay::testing::config_test
