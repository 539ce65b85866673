// LIBER from raw rows to a run: what was said of long ago tells what nothing else can.
#include <algorithm>

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <interplay/base/error.h>
#include <interplay/base/log.h>
#include <interplay/base/progress.h>
#include <interplay/core/augmenter.h>
#include <interplay/core/bundle.h>
#include <interplay/data/dataset.h>
#include <interplay/data/keyed_vectors.h>
#include <interplay/data/prepare.h>
#include <interplay/serve/scorer.h>
#include <interplay/systems/liber.h>
#include <interplay/train/run.h>

#include "support/error_of.h"
#include "support/temp_dir.h"
#include "unit/systems/liber_rows.h"

namespace interplay::liber_run_test {
namespace {

namespace fs = std::filesystem;
using interplay::testing::config_error;
using interplay::testing::LateTastes;
using ::testing::HasSubstr;

constexpr const char* kPartitions =
    "  - {name: partitions, kind: partitions, history: past, count: 20}\n"
    "  - {name: newest, kind: partitions, history: past, count: 20, max_length: 1}\n";

/// One preparation and one set of texts for all tests, which only read them.
class LiberRun : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    log::set_level(log::Level::error);
    Progress::enable(false);
    dir_ = std::make_unique<testing::TempDir>();
    const auto bert = testing::write_tiny_bert(*dir_ / "bert", LateTastes::words(), {.width = 16, .hidden = 24});
    prepare(Config::load(LateTastes().write(*dir_, kPartitions)), *dir_ / "data");
    summarize_partitions(LateTastes::experiment(dir_->path(), bert.string(), "partitions: partitions\n"),
                         *dir_ / "data", *dir_ / "liber");
  }
  static void TearDownTestSuite() {
    dir_.reset();
    log::set_level(log::Level::info);
  }

  static double test_auc(const std::string& out, const std::string& augment) {
    const auto summary =
        train_run(Config::parse(fmt::format(
                      "{{model: {{name: dnn, embedding_dim: 8, hidden: [32]}}, fields: {{drop: [past, film]{}}}, "
                      "train: {{epochs: 12, batch_size: 64, patience: 0}}, optimizer: {{embedding: {{name: "
                      "adam, lr: 1e-2}}, dense: {{name: adam, lr: 3e-3}}}}, threads: 1}}",
                      augment.empty() ? "" : fmt::format(", augment: [{}]", augment))),
                  {.data = *dir_ / "data", .out = *dir_ / out});
    const auto auc =
        std::find_if(summary.test.begin(), summary.test.end(), [](const auto& m) { return m.name == "auc"; });
    return auc == summary.test.end() ? 0 : auc->value;
  }
  static std::string liber(const std::string& file = "vectors.parquet", const std::string& more = "") {
    return fmt::format("{{name: liber, from: '{}', partitions: partitions, item: genre{}}}",
                       (*dir_ / "liber" / file).string(), more);
  }

  static inline std::unique_ptr<testing::TempDir> dir_;
};

TEST_F(LiberRun, TellsATasteOfLongAgo) {
  // About 600 rows of test: the standard error of an AUC is .023.
  const double base = test_auc("base", "");
  EXPECT_NEAR(base, 0.5, 0.07);
  EXPECT_GT(test_auc("with", liber()), 0.9);
  EXPECT_GT(test_auc("mean", liber("vectors.parquet", ", attention: false")), 0.9);
  EXPECT_GT(test_auc("summaries", liber("vectors.parquet", ", shift: false, item_dim: 4")), 0.9);
}

TEST_F(LiberRun, OtherUsersPartitionsTellNothing) {
  const auto vectors = KeyedVectors::load({.from = (*dir_ / "liber" / "vectors.parquet").string()});
  VectorWriter shuffled(*dir_ / "liber" / "shuffled.parquet", vectors.width());
  // User u has the taste u % 6; with the partition of (u / 6) % 6 each taste meets every text equally often.
  for (int u = 0; u < LateTastes().users; ++u) {
    const std::string key = partition_key(fmt::format("u{}", u), 1);
    shuffled.write({&key, 1},
                   vectors.find(partition_key(fmt::format("u{}", u / LateTastes::kGenres % LateTastes::kGenres), 1)));
  }
  shuffled.close();
  EXPECT_NEAR(test_auc("shuffled", liber("shuffled.parquet")), 0.5, 0.07);
}

TEST_F(LiberRun, CountsOfTheNewestPartitionTellItToo) {
  EXPECT_GT(test_auc("counts", fmt::format("{{name: text_vectors, from: '{}', fields: [newest]}}",
                                           (*dir_ / "liber" / "statistics.parquet").string())),
            0.9);
}

TEST_F(LiberRun, OnlyWhatReadsTextsLearns) {
  const Schema schema = Schema::load(*dir_ / "data" / "schema.yaml");
  const auto augmenter = augmenters().make(schema, 8, Config::parse(liber()));
  for (const auto& buffer : augmenter->named_buffers()) EXPECT_FALSE(buffer.value().requires_grad()) << buffer.key();
  const Batch batch = Dataset::open(*dir_ / "data", "train").slice(0, 64);
  const auto out = augmenter->augment(batch.features);
  EXPECT_EQ(out.sizes(), (at::IntArrayRef{64, 2, 32}));
  (out * at::randn_like(out)).sum().backward();
  int64_t learnt = 0;
  for (const auto& parameter : augmenter->named_parameters()) {
    const auto grad = parameter.value().grad();
    ASSERT_TRUE(grad.defined()) << parameter.key();
    // All rows have a partition, and but one, among which attention has no choice.
    const bool is_idle = parameter.key() == "nothing" || parameter.key() == "among.query.weight" ||
                         parameter.key() == "among.key.weight";
    EXPECT_EQ(grad.abs().sum().item<float>() > 0, !is_idle) << parameter.key();
    ++learnt;
  }
  EXPECT_GT(learnt, 20);
}

TEST_F(LiberRun, ARunScoresRawRowsWithoutTheFiles) {
  test_auc("scored", liber());
  const auto scorer = Scorer::load(*dir_ / "scored");
  RawBatch raw;
  raw.rows = 3;
  std::vector<std::string> times;
  for (int e = 0; e < 20; ++e) times.push_back(std::to_string(100 * e));
  // Two of user u0, after 20 and after 19 events, and one of a user whom nobody knows.
  raw.columns = {make_raw_column("user", {"u0", "u0", "new"}), make_raw_column("genre", {"g1", "g1", "g1"}),
                 make_raw_column("time", {"5000", "5000", "5000"}),
                 make_raw_list_column("partitions:time", {times, {times.begin(), times.end() - 1}, {}}),
                 make_raw_list_column("newest:time", {times, {times.begin(), times.end() - 1}, {}})};
  const auto scores = scorer.score(raw);
  EXPECT_NE(scores[0], scores[1]);
  EXPECT_EQ(scores[1], scores[2]);
}

TEST_F(LiberRun, MistakesAreTold) {
  const Schema schema = Schema::load(*dir_ / "data" / "schema.yaml");
  const auto refusal = [&](const std::string& options) {
    return config_error([&] { augmenters().make(schema, 8, Config::parse("{name: liber, " + options + "}")); });
  };
  EXPECT_THAT(refusal("partitions: partitions, item: genre"), HasSubstr("from: missing"));
  const std::string from = "from: '" + (*dir_ / "liber" / "vectors.parquet").string() + "', ";
  EXPECT_THAT(refusal(from + "item: genre"), HasSubstr("(such fields: partitions, newest)"));
  EXPECT_THAT(refusal(from + "partitions: past, item: genre"), HasSubstr("'past' is no field of kind partitions"));
  EXPECT_THAT(refusal(from + "partitions: partitions, item: genre, heads: 3"), HasSubstr("heads: 3 do not divide"));
  EXPECT_THAT(refusal(from + "partitions: partitions, item: past"), HasSubstr("expected a categorical field"));
}

}  // namespace
}  // namespace interplay::liber_run_test
