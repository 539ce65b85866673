#include "search/aim_steps.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <interplay/core/model.h>

#include "support/toy_rows.h"

namespace interplay::aim_steps_test {
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

TEST(ContinueFrom, TakesTheRowsOfTheInteractionsThatAreLeft) {
  std::vector<Field> fields;
  for (const char* name : {"a", "b", "c", "d"}) fields.push_back(testing::make_field(name, FieldKind::categorical, 5));
  const Schema schema(fields, {"click"});
  const auto make = [&](const std::string& interactions, uint64_t seed) {
    return make_model(
        Config::parse(fmt::format(
            "{{name: aim, embedding_dim: 4, functions: [inner, vector_kernel], interactions: {}}}", interactions)),
        schema, seed);
  };
  const auto from = make("[[a, b], [a, c], [a, d], [b, c]]", 1);
  const auto to =
      make("[{fields: [a, b], function: vector_kernel}, {fields: [b, c], function: vector_kernel}, [a, b, d]]", 2);
  const auto fresh =
      make("[{fields: [a, b], function: vector_kernel}, {fields: [b, c], function: vector_kernel}, [a, b, d]]", 2);
  continue_from(*to, *from);
  const auto given = weights_of(*from), now = weights_of(*to), before = weights_of(*fresh);
  for (const char* rows : {"order2_vector_kernel.gates.gate", "order2_vector_kernel.function.kernel"}) {
    EXPECT_TRUE(at::equal(now.at(rows)[0], given.at(rows)[0])) << rows;  // a b
    EXPECT_TRUE(at::equal(now.at(rows)[1], given.at(rows)[3])) << rows;  // b c
  }
  for (const char* whole : {"order2_vector_kernel.fields.b.weight"}) {
    ASSERT_TRUE(now.contains(whole)) << whole;
    EXPECT_TRUE(at::equal(now.at(whole), given.at(whole))) << whole;
  }
  for (const char* added : {"order3_inner.gates.gate", "order3_inner.fields.a.weight"})
    EXPECT_TRUE(at::equal(now.at(added), before.at(added))) << added;
}

}  // namespace
}  // namespace interplay::aim_steps_test
