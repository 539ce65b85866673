// That vectors of texts help where nothing else can: on items that no training row has, planted by `synth texts`.
#include <algorithm>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <interplay/base/error.h>
#include <interplay/base/log.h>
#include <interplay/base/progress.h>
#include <interplay/data/prepare.h>
#include <interplay/data/synth.h>
#include <interplay/train/run.h>

#include "support/temp_dir.h"

namespace interplay::text_vectors_test {
namespace {

double test_auc(const std::filesystem::path& data, const std::filesystem::path& out, const std::string& fields) {
  Config experiment = Config::parse(
      "{model: {name: deepfm, embedding_dim: 8, hidden: [32]}, train: {epochs: 6, batch_size: 256, patience: 0}, "
      "optimizer: {embedding: {name: adam, lr: 1e-2}, dense: {name: adam, lr: 3e-3}}, threads: 1}");
  experiment.set("fields", Config::parse(fields));
  const auto summary = train_run(experiment, {.data = data, .out = out});
  const auto auc =
      std::find_if(summary.test.begin(), summary.test.end(), [](const auto& m) { return m.name == "auc"; });
  return auc == summary.test.end() ? 0 : auc->value;
}

TEST(TextVectors, TellWhatItemsAreAboutThatNoTrainingRowHas) {
  Progress::enable(false);
  log::set_level(log::Level::error);
  const testing::TempDir dir;
  SynthOptions options;
  options.shape = "texts";
  options.rows = 16000;
  options.users = 50;
  options.items = 120;
  options.cold = 0.25;
  synthesize(options, dir / "texts");
  prepare(Config::load(dir / "texts" / "data.yaml"), dir / "data");
  const auto vectors = (dir / "texts" / "vectors.parquet").string();
  const double without = test_auc(dir / "data", dir / "without", "{}");
  const double with = test_auc(dir / "data", dir / "with",
                               fmt::format("{{augment: [{{name: text_vectors, from: {}, fields: [item]}}]}}", vectors));
  const double beside = test_auc(dir / "data", dir / "beside",
                                 fmt::format("{{pretrained: {{item: {{from: {}, mode: concat}}}}}}", vectors));
  log::set_level(log::Level::info);
  // 1,600 rows: the standard error of an AUC is .014.
  EXPECT_GT(with, without + 0.1) << "text_vectors, " << with << " against " << without;
  EXPECT_GT(beside, without + 0.1) << "concat, " << beside << " against " << without;
}

}  // namespace
}  // namespace interplay::text_vectors_test
