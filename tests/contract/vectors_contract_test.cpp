// What an experiment adds to the fields (vectors by key, augmenters) holds for every registered model, from raw rows to
// a bundle and back.
#include <cmath>
#include <optional>

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <interplay/base/files.h>
#include <interplay/base/log.h>
#include <interplay/base/progress.h>
#include <interplay/core/augmenter.h>
#include <interplay/core/bundle.h>
#include <interplay/core/field_embedding.h>
#include <interplay/data/keyed_vectors.h>
#include <interplay/data/prepare.h>
#include <interplay/serve/scorer.h>
#include <interplay/train/evaluator.h>
#include <interplay/train/run.h>

#include "support/error_of.h"
#include "support/raw_scores.h"
#include "support/temp_dir.h"

namespace fs = std::filesystem;

namespace interplay::vectors_contract_test {
namespace {

using ::testing::HasSubstr;

constexpr const char* kData = R"(
format: csv
files: {train: train.csv, valid: valid.csv}
label: click
fields:
  - columns: [user, item]
  - {column: price, kind: numeric}
  - {column: past, kind: sequence, separator: "|", share: item, target: item, max_length: 4}
)";

std::string cell(int r, int i) { return fmt::format("i{}", (r * 7 + i * 3) % 11); }

std::string table(int first, int count) {
  std::string text = "click,user,item,price,past\n";
  for (int r = first; r < first + count; ++r) {
    std::string past;
    for (int i = 0; i < r % 4; ++i) past += fmt::format("{}{}", i > 0 ? "|" : "", cell(r, i + 1));
    text += fmt::format("{},u{},{},{},{}\n", (r * r / 3) % 2, r % 13, cell(r, 0), r % 9, past);
  }
  return text;
}

class VectorsContract : public ::testing::TestWithParam<std::string> {
 protected:
  static void SetUpTestSuite() {
    Progress::enable(false);
    log::set_level(log::Level::error);
    work_.emplace();
    work_->write("train.csv", table(0, 160));
    work_->write("valid.csv", table(160, 40));
    work_->write("data.yaml", kData);
    prepare(Config::load(*work_ / "data.yaml"), *work_ / "data");
    VectorWriter out(*work_ / "v.parquet", 5);
    for (int i = 0; i < 9; ++i) {  // two of eleven have none
      const std::vector<std::string> key{fmt::format("i{}", i)};
      std::vector<float> v;
      for (int k = 0; k < 5; ++k) v.push_back(float(std::sin(1 + i * 5 + k)));
      out.write(key, v);
    }
    out.close();
  }
  static void TearDownTestSuite() {
    log::set_level(log::Level::info);
    work_.reset();
  }

  static Config experiment(int epochs) {
    Config config = Config::parse(
        "{train: {batch_size: 32, patience: 0, keep: last, metrics: [logloss], monitor: logloss}, optimizer: "
        "{dense: {name: adam, lr: 1e-2}, embedding: {name: adam, lr: 1e-2}}, seed: 3, threads: 1}");
    config.set("model", Config::scalar(GetParam(), true));
    config.set("train.epochs", Config::scalar(std::to_string(epochs)));
    const auto file = (*work_ / "v.parquet").string();
    config.set("fields", Config::parse(fmt::format("{{pretrained: {{item: {{from: {0}, mode: concat}}}}, augment: "
                                                   "[{{name: text_vectors, from: {0}, fields: [item]}}, {{name: "
                                                   "text_vectors, from: {0}, fields: [past], hidden: [4]}}]}}",
                                                   file)));
    return config;
  }
  static fs::path train(const std::string& name, int epochs, bool resume = false) {
    const fs::path out = *work_ / (GetParam() + "-" + name);
    train_run(experiment(epochs), {.data = *work_ / "data", .out = out, .resume = resume});
    return out;
  }
  /// A model that reads no field vectors, or that wants several labels, says so.
  static bool is_refused() {
    try {
      make_model(Config::scalar(GetParam(), true), select_fields(schema(), experiment(1)["fields"]));
      return false;
    } catch (const Error&) {
      return true;
    }
  }
  static Schema schema() { return Schema::load(*work_ / "data" / "schema.yaml"); }

  static inline std::optional<testing::TempDir> work_;
};

TEST_P(VectorsContract, RawRowsScoreAsPreparedOnesDoWithoutTheFile) {
  if (is_refused()) GTEST_SKIP();
  const fs::path run = train("whole", 2);
  fs::rename(*work_ / "v.parquet", *work_ / "away");
  const Bundle bundle = Bundle::open(run);
  const Dataset valid = Dataset::open(*work_ / "data", "valid").select(bundle.schema());
  const Predictions expected = predict(*bundle.model(), valid, {.logit_offsets = bundle.logit_offsets()});
  const auto scorer = Scorer::load(run);
  const std::vector<float> found = testing::raw_scores(scorer, *work_ / "valid.csv");
  fs::rename(*work_ / "away", *work_ / "v.parquet");
  ASSERT_EQ(found.size(), expected.logit.size());
  for (size_t i = 0; i < found.size(); ++i)
    EXPECT_NEAR(found[i], 1 / (1 + std::exp(-double(expected.logit[i]))), 1e-6) << "row " << i;
}

TEST_P(VectorsContract, ResumedItIsTheRunThatWasNeverStopped) {
  if (is_refused()) GTEST_SKIP();
  const fs::path whole = train("straight", 2), parted = train("parted", 1);
  train("parted", 2, /*resume=*/true);
  EXPECT_TRUE(read_file(whole / Bundle::kWeights) == read_file(parted / Bundle::kWeights));
}

TEST_P(VectorsContract, WhatIsAddedMovesTheLogits) {
  if (is_refused()) GTEST_SKIP();
  const Schema with = select_fields(schema(), experiment(1)["fields"]);
  const auto model = make_model(Config::scalar(GetParam(), true), with);
  model->eval();
  const auto x = Dataset::open(*work_ / "data", "train").select(with).slice(0, 16).features;
  const at::NoGradGuard no_grad;
  const auto before = model->forward(x).logit;
  if (!before.defined()) GTEST_SKIP();
  for (const auto& m : model->modules()) {
    auto* const a = dynamic_cast<Augmenter*>(m.get());
    if (!a) continue;
    for (auto& p : a->parameters()) p.add_(0.5);
  }
  EXPECT_FALSE(at::allclose(before, model->forward(x).logit, 0, 0));
}

INSTANTIATE_TEST_SUITE_P(Every, VectorsContract, ::testing::ValuesIn(models().names()),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace interplay::vectors_contract_test
