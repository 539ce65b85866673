#include "search/aim_steps.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace interplay {
namespace {

using ::testing::ElementsAre;

using Fields = std::vector<std::string>;

Interaction interaction(const Fields& fields, double gate, const std::string& function = "inner") {
  return {.fields = fields, .function = function, .gate = gate, .kept = gate != 0};
}

std::vector<std::string> texts(const std::vector<Interaction>& list) {
  std::vector<std::string> out;
  for (const auto& i : list) out.push_back(fmt::format("{} {}", i.function, fmt::join(i.fields, "")));
  return out;
}

const Fields kFields = {"a", "b", "c", "d"};

TEST(Grow, AddsOneFieldToTheStrongestSetsOfEachFunction) {
  const std::vector<Interaction> pairs = {interaction({"a", "b"}, -0.9), interaction({"a", "c"}, 0.1),
                                          interaction({"b", "d"}, 0.5), interaction({"c", "d"}, 0),
                                          interaction({"c", "d"}, 0.2, "outer")};
  EXPECT_THAT(texts(grow(pairs, 2, kFields)),  // ab -> abc abd, bd -> abd bcd; ac is the third
              ElementsAre("inner abc", "inner abd", "inner bcd", "outer acd", "outer bcd"));
  EXPECT_THAT(texts(grow(pairs, 1, kFields)), ElementsAre("inner abc", "inner abd", "outer acd", "outer bcd"));
}

TEST(Grow, RanksBySignWhereAsked) {
  const std::vector<Interaction> triples = {interaction({"a", "b", "c"}, -0.9), interaction({"b", "c", "d"}, 0.1)};
  EXPECT_THAT(texts(grow(triples, 1, {"a", "b", "c", "d", "e"})), ElementsAre("inner abcd", "inner abce"));
  EXPECT_THAT(texts(grow(triples, 1, {"a", "b", "c", "d", "e"}, /*by_sign=*/true)),
              ElementsAre("inner abcd", "inner bcde"));
}

TEST(Grow, LeavesClosedSetsAndSetsOfAllFields) {
  EXPECT_TRUE(grow({interaction({"a", "b"}, 0)}, 9, kFields).empty());
  EXPECT_TRUE(grow({interaction({"a", "b"}, 1)}, 9, {"a", "b"}).empty());
}

DimensionGates gates(const std::string& function) {
  //                          a           b           c
  return {2, function, {"a", "b", "c"}, at::tensor({1, 1, 0, 1, 0, 0, 0, 0, 2}).to(at::kFloat).view({3, 3})};
}

TEST(Widths, CountNumbersThatAllFieldsOfAKeptSetHaveOpen) {
  std::vector<Interaction> list = {interaction({"a", "b"}, 1), interaction({"b", "c"}, 1), interaction({"a", "c"}, 0),
                                   interaction({"b", "c"}, 1, "outer")};
  const auto found = widths_of(gates("inner"), list);
  EXPECT_EQ(found.widths, (std::map<std::string, int64_t>{{"a", 1}, {"b", 1}, {"c", 0}}));
  EXPECT_TRUE(list[0].kept);
  EXPECT_FALSE(list[1].kept);  // b and c have no number in common
  EXPECT_TRUE(list[3].kept);   // of another function
}

TEST(Widths, OfOuterCountEveryOpenNumber) {
  std::vector<Interaction> list = {interaction({"a", "b"}, 1, "outer"), interaction({"b", "c"}, 1, "outer")};
  const auto found = widths_of(gates("outer"), list);
  EXPECT_EQ(found.widths, (std::map<std::string, int64_t>{{"a", 2}, {"b", 1}, {"c", 1}}));
  EXPECT_TRUE(list[0].kept && list[1].kept);
}

}  // namespace
}  // namespace interplay
