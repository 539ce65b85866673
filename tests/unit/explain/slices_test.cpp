#include <interplay/explain/slices.h>

#include <cmath>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "explain_support.h"

namespace interplay::slices_test {
namespace {

/// 200 rows of two fields, of which `b` is the same in all: of value 3 of `a` nearly all are positive, of value 2 none,
/// of the others half. The logit knows nothing of it.
struct Rows {
  Rows() {
    EncodedBatch batch;
    batch.rows = 200;
    for (int i = 0; i < 200; ++i) {
      const int32_t id = 1 + i * 7 % 5;
      batch.ids.insert(batch.ids.end(), {id, 1});
      batch.labels.push_back(i * 13 % 10 < (id == 3 ? 9 : 4));
      batch.weight.push_back(float(1 + i % 3));
      logits.push_back(float(std::sin(0.37 * i)));
    }
    const Schema schema(
        {testing::make_field("a", FieldKind::categorical, 7), testing::make_field("b", FieldKind::categorical, 4)},
        {"click"});
    sample = std::make_unique<SampledRows>(Dataset::from(schema, {batch}));
  }
  std::vector<float> logits;
  std::unique_ptr<SampledRows> sample;
};

TEST(Slices, HaveIntervalsForAllOfThemTogether) {
  const Rows rows;
  const auto found = worst_slices(*rows.sample, rows.logits, {.min_rows = 40});
  EXPECT_EQ(found.looked_at, 5);  // b has no other rows to compare with
  const RowSlice& worst = found.by_gap[0];
  EXPECT_EQ(worst.field, "a");
  EXPECT_EQ(worst.id, 2);
  EXPECT_EQ(worst.rows, 40);
  // numpy, in double: weighted means, sqrt(sum w^2 (x - mean)^2) / sum w, and z = 2.5758 of 1 - 0.05 / 5.
  EXPECT_NEAR(worst.mean_p, 0.514657539, 1e-8);
  EXPECT_EQ(worst.observed, 0);
  EXPECT_NEAR(worst.gap.value, 0.514657539, 1e-8);
  EXPECT_NEAR(worst.gap.low, 0.441943109, 1e-8);
  EXPECT_NEAR(worst.gap.high, 0.587371970, 1e-8);
  EXPECT_NEAR(worst.excess.value, 0.031263442, 1e-8);
  EXPECT_NEAR(worst.excess.low, -0.143196407, 1e-8);
  EXPECT_NEAR(worst.excess.high, 0.205723290, 1e-8);
}

TEST(Slices, AreRankedByWhatIsSureOfThem) {
  const Rows rows;
  const auto found = worst_slices(*rows.sample, rows.logits, {.min_rows = 40, .most = 3});
  std::vector<int64_t> by_loss, by_gap;
  for (const auto& s : found.by_loss) by_loss.push_back(s.id);
  for (const auto& s : found.by_gap) by_gap.push_back(s.id);
  EXPECT_THAT(by_loss, ::testing::ElementsAre(2, 5, 1));
  EXPECT_EQ(by_gap[0], 2);
  EXPECT_EQ(by_gap[1], 3);  // says too little: -.572 to -.427
  EXPECT_NEAR(found.by_gap[1].gap.high, -0.427094878, 1e-8);
}

TEST(Slices, OfFewRowsAreNotLookedAt) {
  const Rows rows;
  const auto found = worst_slices(*rows.sample, rows.logits, {.min_rows = 41});
  EXPECT_EQ(found.looked_at, 0);
  EXPECT_TRUE(found.by_loss.empty());
}

TEST(TwoSidedZ, IsTheNormalDistributions) {
  EXPECT_NEAR(two_sided_z(0.05), 1.9599639845400536, 1e-9);
  EXPECT_NEAR(two_sided_z(0.01), 2.5758293035489, 1e-9);
}

}  // namespace
}  // namespace interplay::slices_test
