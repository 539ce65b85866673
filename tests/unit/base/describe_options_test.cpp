// What `interplay help` and `interplay models NAME` print is what the declarations say.
#include <interplay/base/section.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace interplay::describe_options_test {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

struct Wheel {
  double radius = 0.3;
  std::string tyre = "summer";
  void visit(auto&& field) {
    field("radius", radius, "in metres", Range{0.1, 2});
    field("tyre", tyre, "for which season", OneOf{{"summer", "winter"}});
  }
};

struct Car {
  std::string kind = "road";
  Wheel wheel{.radius = 0.4};
  std::vector<Wheel> spare;
  std::optional<Wheel> fifth;
  std::string gravel;
  int64_t laps = 3;
  void visit(auto&& field) {
    field("kind", kind, "what it is for", OneOf{{"road", "rally", "race"}});
    field("wheel", wheel, "each of the four");
    if (kind == "rally") field("gravel", gravel, "what it runs on");
    if (kind != "road") field("laps", laps, "driven");
    field("spare", spare, "carried along");
    field("fifth", fifth, "on the boot");
  }
};

std::vector<std::string> names(const std::vector<OptionLine>& lines) {
  std::vector<std::string> out;
  for (const auto& line : lines) out.push_back(line.name);
  return out;
}

OptionLine line(const std::vector<OptionLine>& lines, const std::string& name) {
  for (const auto& l : lines) {
    if (l.name == name) return l;
  }
  ADD_FAILURE() << "no line " << name;
  return {};
}

TEST(DescribeOptions, MembersOfNestedStructsAreListedBelowThem) {
  EXPECT_THAT(names(describe_options<Car>()),
              ElementsAre("kind", "wheel", "wheel.radius", "wheel.tyre", "spare", "spare.radius", "spare.tyre", "fifth",
                          "fifth.radius", "fifth.tyre", "gravel", "laps"));
  const auto lines = describe_options<Car>();
  EXPECT_EQ(line(lines, "wheel.radius").value, "0.4") << "the default that the outer struct gives";
  EXPECT_EQ(line(lines, "spare.radius").value, "0.3");
  EXPECT_EQ(line(lines, "wheel.radius").limits, "0.1 to 2");
  EXPECT_EQ(line(lines, "wheel").type, "map");
  EXPECT_EQ(line(lines, "spare").type, "list of map");
}

TEST(DescribeOptions, AnOptionThatDependsOnAnotherSaysOnWhich) {
  const auto lines = describe_options<Car>();
  EXPECT_EQ(line(lines, "gravel").when, "kind: rally");
  EXPECT_EQ(line(lines, "laps").when, "kind: rally | race");
  EXPECT_EQ(line(lines, "wheel").when, "");
  EXPECT_EQ(line(lines, "kind").when, "");
  EXPECT_EQ(line(lines, "kind").value, "road") << "the default, not what was tried";
}

struct Machine {
  std::string power = "hand", fuel = "wood";
  int64_t grade = 1;
  void visit(auto&& field) {
    field("power", power, "what drives it", OneOf{{"hand", "steam"}});
    if (power == "steam") {
      field("fuel", fuel, "burnt", OneOf{{"wood", "coal"}});
      if (fuel == "coal") field("grade", grade, "of the coal");
    }
  }
};

TEST(DescribeOptions, WhatDependsOnTwoOptionsNamesBoth) {
  const auto lines = describe_options<Machine>();
  EXPECT_THAT(names(lines), ElementsAre("power", "fuel", "grade"));
  EXPECT_EQ(line(lines, "grade").when, "power: steam, fuel: coal");
}

INTERPLAY_SECTION("a section of this test", Wheel, "a wheel");

TEST(Sections, ADeclaredSectionIsFoundWithItsOptions) {
  for (const auto& section : all_sections()) {
    if (section.name != "a section of this test") continue;
    EXPECT_EQ(section.doc, "a wheel");
    EXPECT_THAT(names(section.options()), ElementsAre("radius", "tyre"));
    return;
  }
  ADD_FAILURE() << "not found";
}

TEST(Sections, DataYamlIsOne) {
  std::vector<std::string> found;
  for (const auto& section : all_sections()) found.push_back(section.name);
  EXPECT_THAT(found, ::testing::IsSupersetOf({"data", "fields", "label", "split"}));
}

TEST(Registries, TellWhatIsKnownOfTheirEntries) {
  for (const AnyRegistry* registry : all_registries()) {
    for (const auto& name : registry->names()) {
      const auto about = registry->about(name);
      EXPECT_FALSE(about.doc.empty()) << name;
      EXPECT_FALSE(about.origin.empty()) << name;
      for (const auto& option : about.options()) EXPECT_FALSE(option.doc.empty()) << name << "." << option.name;
    }
  }
  EXPECT_THAT(all_registries(), ::testing::Not(IsEmpty()));
}

}  // namespace
}  // namespace interplay::describe_options_test
