#include <interplay/train/report.h>

#include <unistd.h>
#include <cmath>
#include <filesystem>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <interplay/base/files.h>

namespace interplay::report_test {
namespace {

using Json = nlohmann::json;

Json data_of(const std::string& page) {
  const std::string open = "id=\"report-data\">";
  const auto begin = page.find(open) + open.size();
  return Json::parse(page.substr(begin, page.find("</script>", begin) - begin));
}

RunReport small() {
  static const std::vector<float> logit = {-1, 0, 1, 2}, label = {0, 1, 0, 1};
  RunReport report;
  report.title = "lr on <toys> & games";
  report.config = "model:\n  name: lr\n";
  report.monitor = "auc";
  report.best_step = 20;
  report.facts = {{"parameters", "1.2 k"}};
  const MetricValue auc{.name = "auc", .display = "AUC", .value = 0.75};
  const MetricValue gauc{.name = "gauc", .display = "gAUC", .reason = "the data has no group column"};
  report.evaluations = {{.step = 10, .epoch = 1, .train_loss = 0.6, .metrics = {auc}},
                        {.step = 20, .epoch = 2, .train_loss = 0.5, .metrics = {auc}}};
  report.profile = {{"load", 0.5}, {"other", 1.5}};
  report.trained_rows = 8;
  report.splits = {report_split("test", {.logit = logit, .label = label}, {auc, gauc})};
  report.slices = {{.field = "city", .split = "test", .slices = {{.value = "</script>", .rows = 2, .metrics = {auc}}}}};
  return report;
}

TEST(Report, CarriesItsNumbersAsJson) {
  const Json data = data_of(report_html(small()));
  EXPECT_EQ(data["monitor"], "auc");
  EXPECT_EQ(data["best_step"], 20);
  EXPECT_EQ(data["facts"][0][1], "1.2 k");
  ASSERT_EQ(data["evaluations"].size(), 2u);
  EXPECT_EQ(data["evaluations"][1]["train_loss"], 0.5);
  EXPECT_EQ(data["evaluations"][1]["metrics"][0]["value"], 0.75);
  EXPECT_EQ(data["profile"][1]["stage"], "other");
  EXPECT_EQ(data["profile"][1]["seconds"], 1.5);
  EXPECT_EQ(data["trained_rows"], 8);
  EXPECT_EQ(data["splits"][0]["rows"], 4);
  EXPECT_EQ(data["splits"][0]["calibration"].size(), 4u);
  EXPECT_EQ(data["splits"][0]["histogram"]["positive"].size(), 50u);
}

/// 2,000 rows with logits from -2 to 1.98, 999 of them positive.
struct ManyRows {
  ManyRows() {
    for (int i = 0; i < 2000; ++i) {
      logit.push_back(float(i * 37 % 200) / 50 - 2);
      label.push_back(double(i * 7919 % 1999) / 1999 < 1 / (1 + std::exp(-double(logit.back()))) ? 1.0f : 0.0f);
    }
  }
  std::vector<float> logit, label;
};

TEST(Report, SaysHowSureItsFiguresAre) {
  const ManyRows rows;
  const ReportSplit split = report_split("test", {.logit = rows.logit, .label = rows.label}, {});
  ASSERT_TRUE(split.auc && split.logloss && split.error);
  // Standard errors by DeLong et al. 1988, and of a mean; the bootstrap's own error is about 3% of them.
  const double auc_error = 0.0103162494, logloss_error = 0.0103157507;
  EXPECT_NEAR(split.auc->value, 0.7788752789, 1e-6);
  EXPECT_NEAR(split.auc->high - split.auc->low, 2 * 1.96 * auc_error, 0.15 * 2 * 1.96 * auc_error);
  EXPECT_NEAR(split.logloss->value, 0.5668536210, 1e-6);
  EXPECT_NEAR(split.logloss->high - split.logloss->low, 2 * 1.96 * logloss_error, 0.15 * 2 * 1.96 * logloss_error);
}

TEST(Report, OfOneClassHasNoIntervals) {
  static const std::vector<float> logit = {-1, 0, 1}, label = {0, 0, 0};
  const ReportSplit split = report_split("test", {.logit = logit, .label = label}, {});
  EXPECT_FALSE(split.auc);
  EXPECT_FALSE(split.logloss);
}

TEST(Report, WritesAnUndefinedMetricAsNullWithItsReason) {
  const Json gauc = data_of(report_html(small()))["splits"][0]["metrics"][1];
  EXPECT_TRUE(gauc["value"].is_null());
  EXPECT_EQ(gauc["reason"], "the data has no group column");
}

TEST(Report, LetsNoTextOfTheRunBecomeMarkup) {
  const std::string page = report_html(small());
  EXPECT_NE(page.find("<title>lr on &lt;toys> &amp; games</title>"), std::string::npos);
  EXPECT_EQ(data_of(page)["slices"][0]["slices"][0]["value"], "</script>");
  EXPECT_EQ(page.find("innerHTML"), std::string::npos);
}

TEST(Report, LoadsNothingFromAnywhere) {
  std::string page = report_html(small());
  const std::string name_space = "http://www.w3.org/2000/svg";  // a name, never fetched
  page.erase(page.find(name_space), name_space.size());
  for (const auto* address : {"http://", "https://", "src=", "<link", "@import", "url(", "fetch("}) {
    EXPECT_EQ(page.find(address), std::string::npos) << address;
  }
}

TEST(Report, ReplacesBytesThatAreNotUtf8) {
  RunReport report = small();
  report.slices[0].slices[0].value = "caf\xe9";
  EXPECT_EQ(data_of(report_html(report))["slices"][0]["slices"][0]["value"], "caf\xEF\xBF\xBD");
}

TEST(Report, OfAnEmptyRunIsStillAPage) {
  const std::string page = report_html({});
  EXPECT_TRUE(data_of(page)["evaluations"].empty());
  EXPECT_NE(page.find("</html>"), std::string::npos);
}

TEST(Report, IsWrittenAsOneFile) {
  const auto folder = std::filesystem::temp_directory_path() / ("interplay_report_" + std::to_string(::getpid()));
  std::filesystem::create_directories(folder);
  write_report(folder / "report.html", small());
  EXPECT_EQ(read_file(folder / "report.html"), report_html(small()));
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace interplay::report_test
