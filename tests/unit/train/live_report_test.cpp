#include "train/live_report.h"

#include <filesystem>
#include <string>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <interplay/base/files.h>
#include <interplay/base/log.h>

#include "support/temp_dir.h"

namespace interplay::live_report_test {
namespace {

using Json = nlohmann::json;

TrackedRun begun() {
  return {.directory = {}, .config = Config::parse("{model: {name: fm}, data: prepared/toys, train: {monitor: auc}}")};
}

FitProgress at(int64_t step, double loss) {
  FitProgress p{.epoch = 1, .epochs = 4, .step = step, .steps = 8000, .told_steps = 1, .train_loss = loss};
  p.epochs_done = double(step) / 2000;
  return p;
}

class LiveReportFile : public ::testing::Test {
 protected:
  LiveReportFile() { log::set_level(log::Level::off); }
  ~LiveReportFile() override { log::set_level(log::Level::info); }

  Json written() const {
    const std::string page = read_file(file_), open = "id=\"report-data\">";
    const auto begin = page.find(open) + open.size();
    return Json::parse(page.substr(begin, page.find("</script>", begin) - begin));
  }

  const testing::TempDir dir_;
  const std::filesystem::path file_ = dir_ / "report.html";
  LiveReport live_{file_};
};

TEST_F(LiveReportFile, IsThereBeforeTheFirstStepAndSaysWhatIsTrained) {
  live_.begin(begun());
  EXPECT_EQ(written()["title"], "fm on toys");
  EXPECT_EQ(written()["progress"]["goes_on"], true);
  EXPECT_EQ(written()["progress"]["every_s"], 5);
}

TEST_F(LiveReportFile, PutsEachEvaluationWhereItsStepIs) {
  live_.begin(begun());
  live_.progress(at(1, 0.7));
  live_.record({.epoch = 1, .step = 500, .train_loss = 0.6, .metrics = {}});
  live_.record({.epoch = 1, .step = 1000, .train_loss = 0.5, .metrics = {}, .improved = true});
  const Json page = written();
  EXPECT_EQ(page["evaluations"][0]["epoch"], 0.25);
  EXPECT_EQ(page["evaluations"][1]["epoch"], 0.5);
  EXPECT_EQ(page["best_step"], 1000);
  EXPECT_EQ(page["progress"]["step"], 1000);
  EXPECT_EQ(page["losses"].size(), 1u);
}

TEST_F(LiveReportFile, KeepsTheMeanOfManyLossesInFewPoints) {
  live_.begin(begun());
  for (int step = 1; step <= 7000; ++step) live_.progress(at(step, step % 2 == 0 ? 1 : 3));
  const auto losses = live_.report().losses;
  EXPECT_LT(losses.size(), 600u);
  double sum = 0;
  int64_t steps = 0;
  for (const auto& l : losses) sum += l.train_loss * double(l.steps), steps += l.steps;
  EXPECT_EQ(steps, 7000);
  EXPECT_NEAR(sum / double(steps), 2, 1e-9);
  EXPECT_EQ(losses.back().step, 7000);
}

TEST_F(LiveReportFile, SaysThatTheRunWasInterruptedAndIsLoadedNoMore) {
  live_.begin(begun());
  live_.end(RunEnd::interrupted, nullptr);
  EXPECT_EQ(written()["progress"]["goes_on"], false);
  EXPECT_EQ(written()["progress"]["doing"], "interrupted");
}

TEST_F(LiveReportFile, LeavesTheLastPageOfAFinishedRunToTheRun) {
  live_.begin(begun());
  const std::string before = read_file(file_);
  live_.end(RunEnd::finished, nullptr);
  EXPECT_EQ(read_file(file_), before);
  EXPECT_FALSE(live_.report().progress);
}

TEST_F(LiveReportFile, ThatCannotBeWrittenEndsNoRun) {
  LiveReport live(dir_ / "no-such-folder" / "report.html");
  live.begin(begun());
  live.record({.epoch = 1, .step = 10, .metrics = {}});
  EXPECT_EQ(live.report().evaluations.size(), 1u);
}

}  // namespace
}  // namespace interplay::live_report_test
