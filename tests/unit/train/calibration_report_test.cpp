#include <interplay/train/calibration_report.h>

#include <cmath>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/toy_rows.h"

namespace interplay::calibration_report_test {
namespace {

using ::testing::HasSubstr;

/// 600 rows, 100 of each of six users, one in five of which is liked.
class ReportOfCalibration : public ::testing::Test {
 protected:
  ReportOfCalibration() {
    for (int64_t r = 0; r < 600; ++r) {
      own_.logit.push_back(float(std::sin(double(r)) + (r % 5 == 0)));
      own_.label.push_back(float(r % 5 == 0));
    }
  }
  CalibrationReport report(const CalibrateOptions& options) const {
    std::vector<int32_t> ids;
    for (int64_t r = 0; r < 600; ++r) ids.push_back(int32_t(r % 6));
    return report_calibration(Calibration::fit(own_, ids, schema_, options), own_, rows_,
                              [](int32_t id) { return fmt::format("user {}", id); });
  }

  const Schema schema_ = testing::toy_schema().with_labels({"like"});
  const Dataset rows_ = Dataset::from(testing::toy_schema(), {testing::toy_rows(0, 600)}).select(schema_);
  Predictions own_;
};

TEST_F(ReportOfCalibration, TellsBeforeAndAfter) {
  const auto found = report({});
  ASSERT_EQ(found.parts.size(), 1);
  EXPECT_EQ(found.parts[0].rows, 600);
  const auto& figures = found.parts[0].figures;
  ASSERT_EQ(figures.size(), 2);
  EXPECT_EQ(figures[0].name, "before");
  EXPECT_EQ(figures[1].name, "after");
  EXPECT_DOUBLE_EQ(figures[0].auc, figures[1].auc);
  EXPECT_LT(figures[1].logloss, figures[0].logloss);
  EXPECT_NEAR(figures[1].error.ratio, 1, 1e-6);  // of the rows that it was fitted to
  EXPECT_EQ(figures[1].bins.size(), 15);
  EXPECT_TRUE(found.slices.empty());
}

TEST_F(ReportOfCalibration, OfASlicedOneEachMapHasALine) {
  const auto own = report({.by = "user_id", .min_rows = 100});
  ASSERT_EQ(own.slices.size(), 6);
  EXPECT_EQ(own.slices[2].slice, "user 2");
  EXPECT_EQ(own.slices[2].rows, 100);
  EXPECT_NEAR(own.slices[2].figures[1].error.ratio, 1, 1e-6);
  const auto shared = report({.by = "user_id", .min_rows = 101});
  ASSERT_EQ(shared.slices.size(), 1);
  EXPECT_EQ(shared.slices[0].slice, "(others, one map)");
  EXPECT_EQ(shared.slices[0].rows, 600);
}

TEST_F(ReportOfCalibration, ShowsTheSamplingOfNegativesApart) {
  const auto figures = report({.sampled = 0.5}).parts[0].figures;
  ASSERT_EQ(figures.size(), 3);
  EXPECT_EQ(figures[1].name, "unsampled");
  EXPECT_LT(figures[1].error.ratio, figures[0].error.ratio);
}

TEST_F(ReportOfCalibration, IsAPageOfItsOwn) {
  auto found = report({});
  found.title = "a <run>", found.split = "test";
  const auto page = calibration_html(found);
  EXPECT_THAT(page, HasSubstr("<title>a &lt;run></title>"));
  EXPECT_THAT(page, HasSubstr("\"largest_gap\""));
  EXPECT_EQ(page.find("http://", page.find("<body>")), page.find("http://www.w3.org/2000/svg"));
}

}  // namespace
}  // namespace interplay::calibration_report_test
