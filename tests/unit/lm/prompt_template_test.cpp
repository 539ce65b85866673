#include <interplay/lm/prompt_template.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/error_of.h"

namespace interplay::lm::prompt_template_test {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

std::string shout(std::string_view name) { return "<" + std::string(name) + ">"; }

TEST(PromptTemplate, PlacesAreFilledByName) {
  const PromptTemplate line("{index}. {title} - {rating} stars, {title}!");
  EXPECT_THAT(line.names(), ElementsAre("index", "title", "rating"));
  EXPECT_EQ(line.fill(shout), "<index>. <title> - <rating> stars, <title>!");
}

TEST(PromptTemplate, WhatIsFilledInIsNotReadAgain) {
  EXPECT_EQ(PromptTemplate("{a}").fill([](std::string_view) { return std::string("{b}"); }), "{b}");
}

TEST(PromptTemplate, BracesOfTheTextAreWrittenTwice) {
  EXPECT_EQ(PromptTemplate("{{x}} is {x} }}").fill(shout), "{x} is <x> }");
  EXPECT_THAT(PromptTemplate("no place").names(), IsEmpty());
  EXPECT_EQ(PromptTemplate("").fill(shout), "");
}

TEST(PromptTemplate, AStrayBraceIsQuoted) {
  for (const char* text : {"say {name", "say {name\n}", "say {na{me}", "say }name", "say {", "say }"}) {
    EXPECT_THAT(interplay::testing::config_error([&] { PromptTemplate{text}; }), HasSubstr("written twice")) << text;
  }
  EXPECT_THAT(interplay::testing::config_error([&] { PromptTemplate{"say {}"}; }), HasSubstr("names nothing"));
}

}  // namespace
}  // namespace interplay::lm::prompt_template_test
