#include "train/run_report.h"

#include <algorithm>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace interplay::run_report_test {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

/// A run without anything to remark on.
RunReport sound() {
  RunReport report;
  report.best_step = 20;
  report.evaluations = {{.step = 10, .epoch = 1, .train_loss = 0.6},
                        {.step = 20, .epoch = 2, .train_loss = 0.5},
                        {.step = 30, .epoch = 3, .train_loss = 0.5}};
  ReportSplit valid{.name = "valid", .rows = 50}, test{.name = "test", .rows = 100};
  test.auc = Interval{0.75, 0.7, 0.8}, test.logloss = Interval{0.5, 0.45, 0.55};
  test.error = CalibrationError{.ece = 0.01, .low = 0, .high = 0.02, .by_chance = 0.01, .ratio = 1};
  report.splits = {valid, test};
  return report;
}

std::vector<std::string> remarks(RunReport report) {
  conclude(report);
  return report.remarks;
}

TEST(Conclude, SaysHowGoodTheLastSplitIsAndWhichEpochIsKept) {
  RunReport report = sound();
  conclude(report);
  EXPECT_EQ(
      report.headline,
      "AUC 0.7500 (95% interval 0.7000 to 0.8000), log loss 0.5000 (95% interval 0.4500 to 0.5500) on 100 rows of "
      "test; weights of epoch 2 of 3.");
  EXPECT_THAT(report.remarks, IsEmpty());
}

TEST(Conclude, TellsSeveralLabelsTogether) {
  RunReport report = sound();
  report.splits[0] = report.splits[1];
  report.splits[0].name = "test, click", report.splits[1].name = "test, like";
  report.splits[1].auc = Interval{0.52, 0.49, 0.55};
  conclude(report);
  EXPECT_EQ(report.headline,
            "AUC on test: click 0.7500 (95% interval 0.7000 to 0.8000), like 0.5200 (95% interval 0.4900 to 0.5500); "
            "weights of epoch 2 of 3.");
  EXPECT_THAT(report.remarks, ElementsAre("The AUC of like cannot be told from guessing, .5."));
}

TEST(Conclude, OfARunThatWasNotJudgedSaysNothing) { EXPECT_THAT(remarks({}), IsEmpty()); }

TEST(Conclude, SaysThatMoreEpochsMayBeBetter) {
  RunReport report = sound();
  report.best_step = 30;
  EXPECT_THAT(remarks(report), ElementsAre(HasSubstr("more epochs may be better")));
}

TEST(Conclude, SaysThatTrainingWentOnForNothing) {
  RunReport report = sound();
  report.evaluations.back().train_loss = 0.4;
  EXPECT_THAT(remarks(report), ElementsAre(HasSubstr("Validation was best at epoch 2; afterwards")));
}

TEST(Conclude, SaysThatAnAucMayBeGuessing) {
  RunReport report = sound();
  report.splits[1].auc = Interval{0.52, 0.49, 0.55};
  EXPECT_THAT(remarks(report), ElementsAre(HasSubstr("test cannot be told from guessing")));
}

TEST(Conclude, SaysHowFarPredictionsAreOff) {
  RunReport report = sound();
  report.splits[1].error = CalibrationError{.ece = 0.05, .low = 0.04, .high = 0.06, .by_chance = 0.01, .ratio = 1.12};
  EXPECT_THAT(remarks(report), ElementsAre(HasSubstr("12% too high on average (ECE 0.0500; 0.0100 would be chance)")));
  report.splits[1].error->ratio = 0.8;
  EXPECT_THAT(remarks(report), ElementsAre(HasSubstr("20% too low on average")));
  report.splits[1].error->ratio = 3.25;
  EXPECT_THAT(remarks(report), ElementsAre(HasSubstr("3.2 times as high as what happened")));
}

TEST(Conclude, NamesTheFieldWithTheMostUnseenValues) {
  RunReport report = sound();
  Field item, user;
  item.name = item.table = "item", user.name = user.table = "user";
  item.kind = user.kind = FieldKind::categorical, item.rows = user.rows = 9;
  SplitCounts counts;
  counts.split = "test";
  counts.fields = {{.name = "user", .values = 100, .unseen = 20}, {.name = "item", .values = 100, .unseen = 34}};
  report.data = ReportData{.schema = Schema({item, user}, {"click"}), .splits = {counts}};
  EXPECT_THAT(remarks(report), ElementsAre("34% of the values of item in test are not in its vocabulary."));
  report.data->splits[0].split = "valid";
  EXPECT_THAT(remarks(report), IsEmpty());
}

TEST(Conclude, NamesTheWorstSliceWhereItIsSurelyWorse) {
  RunReport report = sound();
  report.explanation = ReportExplanation{};
  report.explanation->slices = {{.slice = "city = Oslo", .rows = 70, .excess = {0.1, 0.02, 0.18}}};
  EXPECT_THAT(remarks(report),
              ElementsAre("It does worst on city = Oslo (70 rows): log loss 0.1000 above that of the others."));
  report.explanation->slices[0].excess.low = -0.01;
  EXPECT_THAT(remarks(report), IsEmpty());
}

}  // namespace
}  // namespace interplay::run_report_test
