#include <interplay/systems/rerank.h>

#include <fstream>

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <interplay/base/log.h>
#include <interplay/base/progress.h>
#include <interplay/core/bootstrap.h>
#include <interplay/data/prepare.h>

#include "support/error_of.h"
#include "support/temp_dir.h"

namespace interplay::rerank_test {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

TEST(Reranked, DealsOutTheBandsLogitsInTheSecondsOrder) {
  const std::vector<float> first{-3, .1f, -.2f, 2, .3f, 0};
  const std::vector<int64_t> asked{1, 2, 4, 5};
  // The second says 2 < 4 < 1 < 5; the logits of the band are -.2, 0, .1, .3.
  EXPECT_THAT(reranked(first, asked, std::vector<float>{7, -9, 5, 8}, 1), ElementsAre(-3, .1f, -.2f, 2, 0, .3f));
  EXPECT_THAT(reranked(first, asked, std::vector<float>{7, -9, 5, 8}, 0), ElementsAre(-3, .1f, -.2f, 2, .3f, 0));
  // Half of each: .1 + 0, -.2 + .4, .3 + -.4, 0 + 0: 4 < 5 < 1 < 2.
  EXPECT_THAT(reranked(first, asked, std::vector<float>{0, .4f, -.4f, 0}, .5), ElementsAre(-3, .1f, .3f, 2, -.2f, 0));
  EXPECT_THAT(reranked(first, asked, std::vector<float>{1, 1, 1, 1}, 1), ElementsAre(-3, -.2f, 0, 2, .1f, .3f));
  EXPECT_THAT(reranked(first, {}, {}, 1), ElementsAre(-3, .1f, -.2f, 2, .3f, 0));
}

/// The number of a field, which it counts how often it says.
class Says final : public Model {
 public:
  explicit Says(int64_t column) : column_(column) {}
  Output forward(const Features& x) override {
    asked += x.rows;
    return x.dense.select(1, column_).contiguous();
  }
  int64_t asked = 0;

 private:
  int64_t column_;
};

/// Rows of a label, what a cheap model says (unsure of a half, by chance) and what a dear one does.
class Rerank : public ::testing::Test {
 protected:
  Rerank() {
    log::set_level(log::Level::off);
    Progress::enable(false);
    std::string text = "label,cheap,dear\n";
    for (int i = 0; i < 400; ++i) {
      const int label = i % 2;
      const bool unsure = i % 4 >= 2;
      text += fmt::format("{},{},{}\n", label,
                          unsure  ? .002 * ((i * 7 / 4) % 100 - 50)
                          : label ? 2
                                  : -2,
                          label ? .5 : -.5);
    }
    dir_.write("rows.csv", text);
    dir_.write("data.yaml",
               "{format: csv, files: {train: rows.csv}, label: label, fields: [{columns: [cheap, dear], kind: "
               "numeric, transform: none}]}");
    prepare(Config::load(dir_ / "data.yaml"), dir_ / "data");
    rows_.emplace(Dataset::open(dir_ / "data", "train"));
  }
  ~Rerank() override { log::set_level(log::Level::info); }
  const testing::TempDir dir_;
  std::optional<Dataset> rows_;
};

TEST_F(Rerank, AsksAboutTheBandAloneAndOrdersIt) {
  Says cheap(0), dear(1);
  const Reranking r = rerank(cheap, *rows_, dear, *rows_, {.second_batch_size = 7});
  EXPECT_EQ(cheap.asked, 400);
  EXPECT_EQ(dear.asked, 200);
  EXPECT_EQ(r.asked.size(), 200u);
  for (const int64_t row : r.asked) EXPECT_GE(row % 4, 2);
  // All positives of the band lie above all its negatives then, and the band where it was: AUC is 1.
  const auto gain = bootstrap_auc_difference({r.first.label, r.logit, r.first.logit});
  EXPECT_EQ(gain.auc_a, 1);
  EXPECT_GT(gain.low, .05);
}

TEST_F(Rerank, AsksNobodyOfAnEmptyBand) {
  Says cheap(0), dear(1);
  const Reranking r = rerank(cheap, *rows_, dear, *rows_, {.low = .6, .high = .7});
  EXPECT_EQ(dear.asked, 0);
  EXPECT_THAT(r.asked, IsEmpty());
  EXPECT_EQ(r.logit, r.first.logit);
  EXPECT_THAT(testing::config_error([&] { rerank(cheap, *rows_, dear, *rows_, {.low = .7, .high = .6}); }),
              HasSubstr("low <= high"));
}

}  // namespace
}  // namespace interplay::rerank_test
