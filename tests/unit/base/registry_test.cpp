#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <interplay/base/registry.h>

#include "support/error_of.h"

namespace interplay::testing::registry_test {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

struct Shape {
  virtual ~Shape() = default;
  virtual double area() const = 0;
};

Registry<Shape, double>& shapes() {
  static Registry<Shape, double> registry("shape");
  return registry;
}

struct Square final : Shape {
  struct Options {
    double side = 2;
    void visit(auto&& field) { field("side", side, "its side", Range{0, 100}); }
  };
  Square(double unit, const Options& o) : area_(unit * o.side * o.side) {}
  double area() const override { return area_; }
  double area_;
};
INTERPLAY_REGISTER(shapes(), "square", Square, "four equal sides");

struct Box final : Shape {
  struct Options {
    double width = 1, height = 1;
    void visit(auto&& field) {
      field("width", width, "its width");
      field("height", height, "its height");
    }
    void check(const Config& config) const {
      if (width < height) config["width"].fail("a box is at least as wide as high");
    }
  };
  Box(double unit, const Options& o) : area_(unit * o.width * o.height) {}
  double area() const override { return area_; }
  double area_;
};
INTERPLAY_REGISTER(shapes(), "box", Box, "two sides");

// Files that are compiled as one have lines of the same number.
#define INTERPLAY_TWO_ON_A_LINE                                 \
  INTERPLAY_REGISTER(numbers(), "one", SideOf<1>, "the first"); \
  INTERPLAY_REGISTER(numbers(), "two", SideOf<2>, "the second");

Registry<Shape>& numbers() {
  static Registry<Shape> registry("number");
  return registry;
}
template <int side>
struct SideOf final : Shape {
  struct Options {
    void visit(auto&&) {}
  };
  explicit SideOf(const Options&) {}
  double area() const override { return side; }
};
INTERPLAY_TWO_ON_A_LINE

TEST(Registry, TakesTwoOnOneLine) {
  EXPECT_THAT(numbers().names(), ElementsAre("one", "two"));
  EXPECT_EQ(numbers().make(Config::parse("two"))->area(), 2);
}

TEST(Registry, MakesWhatANameOrAMapSays) {
  EXPECT_EQ(shapes().make(1.0, Config::parse("square"))->area(), 4);
  EXPECT_EQ(shapes().make(0.5, Config::parse("{name: square, side: 4}"))->area(), 8);
  EXPECT_THAT(shapes().names(), ElementsAre("box", "square"));
  EXPECT_TRUE(shapes().has("box"));
  EXPECT_FALSE(shapes().has("Box"));
  EXPECT_EQ(shapes().kind(), "shape");
}

TEST(Registry, ResolvesToEveryDefaultWithTheNameFirst) {
  const Config resolved = shapes().resolve(Config::parse("{height: 0.5, name: box}"));
  EXPECT_THAT(resolved.keys(), ElementsAre("name", "width", "height"));
  EXPECT_TRUE(shapes().resolve(resolved) == resolved);
  EXPECT_TRUE(Config::parse(resolved.yaml()) == resolved);
}

TEST(Registry, MistakesNameWhatThereIs) {
  const auto error = [](const std::string& yaml) {
    return config_error([&] { shapes().make(1.0, Config::parse(yaml, "f")); });
  };
  EXPECT_THAT(error("sqare"), AllOf(HasSubstr("there is no shape 'sqare'; did you mean 'square'?"),
                                    HasSubstr("there are: box, square")));
  EXPECT_THAT(error("{side: 1}"), HasSubstr("name: missing; expected text"));
  EXPECT_THAT(error("{name: square, sied: 1}"), HasSubstr("sied: unknown key of 'square'; did you mean side?"));
  EXPECT_THAT(error("{name: box, height: 3}"), HasSubstr("f:1: width: a box is at least as wide as high"));
  EXPECT_THAT(config_error([&] { shapes().resolve(Config::parse("{name: box, height: 3}")); }), HasSubstr("as wide"));
}

TEST(Registry, ANameThatTwoFilesRegisterIsToldWhenItIsUsed) {
  Registry<Shape, double> registry("shape");
  const auto entry = shapes().find(Config::parse("square"));
  registry.add("square", entry);
  EXPECT_TRUE(registry.clashes().empty());
  registry.add("square", entry);
  EXPECT_EQ(registry.clashes().size(), 1u);
  EXPECT_THAT(config_error([&] { registry.make(1.0, Config::parse("square")); }),
              HasSubstr("shape 'square' is registered by two files"));
}

TEST(Registry, EntriesSayWhereTheyComeFromAndWhatTheyTake) {
  const auto entry = shapes().find(Config::parse("square"));
  EXPECT_EQ(entry.doc, "four equal sides");
  EXPECT_FALSE(entry.origin.empty());
  ASSERT_EQ(entry.options().size(), 1u);
  EXPECT_EQ(entry.options()[0].limits, "0 to 100");
}

TEST(Registry, AllAreListedWhileTheyLive) {
  const auto listed = [](const AnyRegistry* wanted) {
    const auto all = all_registries();
    return std::find(all.begin(), all.end(), wanted) != all.end();
  };
  const AnyRegistry* gone = nullptr;
  {
    Registry<Shape> registry("passing");
    gone = &registry;
    EXPECT_TRUE(listed(gone));
  }
  EXPECT_FALSE(listed(gone));
  EXPECT_TRUE(listed(&shapes()));
}

}  // namespace
}  // namespace interplay::testing::registry_test
