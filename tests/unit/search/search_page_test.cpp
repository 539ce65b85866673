#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "search/search_files.h"

namespace interplay::search_page_test {
namespace {

using Json = nlohmann::ordered_json;

Json data_of(const std::string& page) {
  const std::string open = "id=\"report-data\">";
  const auto begin = page.find(open) + open.size();
  return Json::parse(page.substr(begin, page.find("</script>", begin) - begin));
}

const char* const kConfig = "model:\n  name: fm\n";

SearchFindings findings() {
  SearchFindings f;
  f.interactions = {{.fields = {"city", "</script>"}, .gate = -0.5, .kept = true},
                    {.fields = {"city", "hour", "app"}, .function = "kernel", .gate = 0, .kept = false}};
  f.widths = {{"city", 8}};
  f.grda = {{.stage = "search", .c = 1e-3, .mu = 0.8, .lr = 1, .steps = 10, .threshold = 0.25, .searched_c = 5e-4}};
  return f;
}

std::string page() {
  const StageResult base{.name = "base", .directory = "stages/1-base", .split = "test", .auc = 0.75, .parameters = 90};
  const StageCourse course{
      "search", "interactions", {{"city x hour", "city x app"}, {0, 10}, {0, 0.25}, {{0.6, 0.6}, {0.7, -0.1}}}, 0.5};
  return search_html(search_json("autofis", "prepared/toys", findings(), {base}), kConfig, {course});
}

TEST(SearchPage, CarriesWhatSearchJsonHoldsAndTheCoursesOfTheGates) {
  const Json data = data_of(page());
  EXPECT_EQ(data["title"], "autofis: fm on toys");
  EXPECT_EQ(data["config"], kConfig);
  EXPECT_EQ(data["interactions"][0]["gate"], -0.5);
  EXPECT_EQ(data["interactions"][1]["order"], 3);
  EXPECT_EQ(data["interactions"][1]["function"], "kernel");
  EXPECT_EQ(data["widths"]["city"], 8);
  EXPECT_EQ(data["stages"][0]["auc"], 0.75);
  EXPECT_TRUE(data["stages"][0]["logloss"].is_null());  // not known
  EXPECT_EQ(data["grda"], Json::parse(R"([{"stage": "search", "gates": "interactions", "c": 0.001, "mu": 0.8, "lr": 1.0,
      "steps": 10, "threshold": 0.25, "searched_c": 0.0005}])"));
  const Json& course = data["courses"][0];
  EXPECT_EQ(course["stage"], "search");
  EXPECT_EQ(course["of"], "interactions");
  EXPECT_EQ(course["gates"], 2);
  EXPECT_EQ(course["names"], Json({"city x hour", "city x app"}));
  EXPECT_EQ(course["steps"], Json({0, 10}));
  EXPECT_EQ(course["threshold"], 0.5);
  EXPECT_EQ(course["thresholds"], Json({0.0, 0.25}));
  EXPECT_EQ(course["values"][1], Json({0.7, -0.1}));
}

TEST(SearchPage, DrawsTheLargestOfManyGatesAndSomeOfTheOthers) {
  GateCourse course;
  course.steps = {5}, course.thresholds = {0.1}, course.values.emplace_back();
  for (int i = 0; i < 1000; ++i) course.names.push_back(std::to_string(i)), course.values[0].push_back(i * -0.001);
  const Json drawn = data_of(search_html(search_json("autofis", "x", findings(), {}), kConfig,
                                         {{"search", "interactions", course, 0.1}}))["courses"][0];
  EXPECT_EQ(drawn["gates"], 1000);
  ASSERT_EQ(drawn["names"].size(), 400u);
  ASSERT_EQ(drawn["values"][0].size(), 400u);
  for (int i = 0; i < 200; ++i) EXPECT_EQ(drawn["names"][size_t(i)], std::to_string(999 - i));
  EXPECT_EQ(drawn["names"][399], "3");  // every fourth of the other 800
  EXPECT_EQ(drawn["values"][0][399], -0.003);
}

TEST(SearchPage, CarriesTheCurveByWhichTheValidRowsChose) {
  const KeptCurve curve{.stage = "search",
                        .ranking = {"city x hour", "city x app"},
                        .strength = {1.25, 0.5},
                        .points = {{0, .6, .1, .01}, {1, .501, .001, .002}, {2, .5, 0, 0}},
                        .best = 2,
                        .chosen = 1,
                        .rows = 900};
  StageCourse course{"search", "interactions", {{"city x hour", "city x app"}, {0, 10}, {0, 0}, {{.6, .6}, {.7, .4}}}};
  course.kept = std::set<std::string>{"city x hour"};
  const Json data = data_of(search_html(search_json("autofis", "x", findings(), {}, {curve}), kConfig, {course}));
  EXPECT_EQ(data["curves"], Json::parse(R"([{"gates": "interactions", "rows": 900, "best": 2, "chosen": 1, "points": [
      {"kept": 0, "loss": 0.6, "above": 0.1, "standard_error": 0.01},
      {"kept": 1, "loss": 0.501, "above": 0.001, "standard_error": 0.002},
      {"kept": 2, "loss": 0.5, "above": 0.0, "standard_error": 0.0}],
      "ranking": ["city x hour", "city x app"], "strength": [1.25, 0.5], "stage": "search"}])"));
  EXPECT_EQ(data["courses"][0]["kept"], Json({true, false}));
}

TEST(SearchPage, OfASearchBeforeThereWereCurvesHasNone) {
  const Json data = data_of(page());
  EXPECT_FALSE(data.contains("curves"));
  EXPECT_FALSE(data["courses"][0].contains("kept"));
}

TEST(SearchPage, DrawsSomeOfManyReadingsAndTheLast) {
  GateCourse course;
  course.names = {"a x b"};
  for (int i = 0; i < 1000; ++i)
    course.steps.push_back(i), course.thresholds.push_back(0), course.values.push_back({.5});
  const Json drawn = data_of(search_html(search_json("autofis", "x", findings(), {}), kConfig,
                                         {{"search", "interactions", course, 0}}))["courses"][0];
  EXPECT_LE(drawn["steps"].size(), 151u);
  EXPECT_EQ(drawn["steps"].size(), drawn["values"].size());
  EXPECT_EQ(drawn["steps"][1], 7);
  EXPECT_EQ(drawn["steps"].back(), 999);
}

TEST(SearchPage, LetsNoTextBecomeMarkupAndLoadsNothing) {
  std::string text = page();
  EXPECT_EQ(data_of(text)["interactions"][0]["fields"][1], "</script>");
  EXPECT_EQ(text.find("innerHTML"), std::string::npos);
  const std::string name_space = "http://www.w3.org/2000/svg";  // a name, never fetched
  text.erase(text.find(name_space), name_space.size());
  for (const auto* address : {"http://", "https://", "src=", "<link", "@import", "url(", "fetch("})
    EXPECT_EQ(text.find(address), std::string::npos) << address;
}

}  // namespace
}  // namespace interplay::search_page_test
