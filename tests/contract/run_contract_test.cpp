// What must hold of a run of every registered model, from raw rows to a bundle and back.
#include <cmath>
#include <fstream>
#include <optional>

#include <gtest/gtest.h>

#include <interplay/base/files.h>
#include <interplay/base/log.h>
#include <interplay/base/progress.h>
#include <interplay/core/bundle.h>
#include <interplay/data/prepare.h>
#include <interplay/serve/scorer.h>
#include <interplay/train/evaluator.h>
#include <interplay/train/run.h>

#include "support/raw_scores.h"
#include "support/temp_dir.h"

namespace fs = std::filesystem;

namespace interplay::run_contract_test {
namespace {

constexpr int kRows = 240;
constexpr const char* kData = R"(
format: csv
files: {train: train.csv, valid: valid.csv}
label: [click, {column: like, optional: true}]
weight: w
group: user
fields:
  - columns: [user, item]
  - {column: price, kind: numeric, transform: standardise}
  - {column: past, kind: sequence, separator: "|", share: item, target: item, max_length: 4}
  - {column: image, kind: vector, dimension: 2, separator: "|"}
)";

std::string cell(int r, int i) { return fmt::format("i{}", (r * 7 + i * 3) % 11); }

/// A table whose cells follow from the row's number: fields of every kind, labels with gaps, weights, groups.
std::string table(int first, int count) {
  std::string text = "click,like,w,user,item,price,past,image\n";
  for (int r = first; r < first + count; ++r) {
    std::string past;
    for (int i = 0; i < r % 4; ++i) past += fmt::format("{}{}", i > 0 ? "|" : "", cell(r, i + 1));
    text += fmt::format("{},{},{},u{},{},{},{},{}|{}\n", (r * r / 3) % 2,
                        r % 3 == 0   ? ""
                        : r % 5 == 0 ? "1"
                                     : "0",
                        1 + r % 2, r % 13, cell(r, 0), r % 9, past, r % 7, -(r % 5));
  }
  return text;
}

class RunContract : public ::testing::TestWithParam<std::string> {
 protected:
  static void SetUpTestSuite() {
    Progress::enable(false);
    log::set_level(log::Level::error);
    work_.emplace();
    work_->write("train.csv", table(0, kRows));
    work_->write("valid.csv", table(kRows, 60));
    work_->write("data.yaml", kData);
    prepare(Config::load(*work_ / "data.yaml"), *work_ / "data");
  }
  static void TearDownTestSuite() {
    log::set_level(log::Level::info);
    work_.reset();
  }

  static bool takes_one_label() {
    try {
      make_model(Config::scalar(GetParam(), true), select_fields(schema(), Config::parse("{labels: [click]}")));
      return true;
    } catch (const Error&) {
      return false;
    }
  }
  static Schema schema() { return Schema::load(*work_ / "data" / "schema.yaml"); }

  static Config experiment(int epochs) {
    Config config = Config::parse(
        "{train: {batch_size: 32, patience: 0, keep: last, metrics: [logloss], monitor: logloss}, optimizer: "
        "{dense: {name: adam, lr: 1e-2}, embedding: {name: adam, lr: 1e-2}}, seed: 3, threads: 1}");
    config.set("model", Config::scalar(GetParam(), true));
    config.set("train.epochs", Config::scalar(std::to_string(epochs)));
    if (takes_one_label()) config.set("fields", Config::parse("{labels: [click]}"));
    return config;
  }
  static fs::path train(const std::string& name, int epochs, bool resume = false) {
    const fs::path out = *work_ / (GetParam() + "-" + name);
    train_run(experiment(epochs), {.data = *work_ / "data", .out = out, .resume = resume});
    return out;
  }

  static inline std::optional<testing::TempDir> work_;
};

TEST_P(RunContract, RawRowsScoreAsPreparedOnesDo) {
  const fs::path run = train("whole", 2);
  const Bundle bundle = Bundle::open(run);
  const Dataset valid = Dataset::open(*work_ / "data", "valid").select(bundle.schema());
  const Predictions expected = predict(*bundle.model(), valid, {.logit_offsets = bundle.logit_offsets()});
  const auto scorer = Scorer::load(run);
  const std::vector<float> found = testing::raw_scores(scorer, *work_ / "valid.csv");
  ASSERT_EQ(found.size(), expected.logit.size());
  for (size_t i = 0; i < found.size(); ++i)
    EXPECT_NEAR(found[i], 1 / (1 + std::exp(-double(expected.logit[i]))), 1e-6) << "row " << i;
  // Row by row, as requests come; and one row many times, whose scores are all the same.
  std::vector<Scorer::Row> rows;
  std::ifstream in(*work_ / "valid.csv");
  std::string line;
  std::getline(in, line);
  for (int r = 0; r < 5 && std::getline(in, line); ++r) {
    Scorer::Row row;
    size_t begin = 0;
    for (const char* name : {"click", "like", "w", "user", "item", "price", "past", "image"}) {
      const size_t end = std::min(line.find(',', begin), line.size());
      row[name] = line.substr(begin, end - begin);
      begin = end + 1;
    }
    const auto p = scorer.score({row});
    for (size_t t = 0; t < p.size(); ++t) EXPECT_NEAR(p[t], found[size_t(r) * p.size() + t], 1e-6);
    for (const size_t count : {2, 3, 5, 13, 103}) {
      const auto same = scorer.score(std::vector<Scorer::Row>(count, row));
      for (size_t i = 0; i < same.size(); ++i)
        ASSERT_EQ(same[i], same[i % p.size()]) << "score " << i << " of " << count << " times row " << r;
    }
  }
}

TEST_P(RunContract, ResumedItIsTheRunThatWasNeverStopped) {
  const fs::path whole = train("straight", 3), parted = train("parted", 1);
  train("parted", 3, /*resume=*/true);
  EXPECT_TRUE(read_file(whole / Bundle::kWeights) == read_file(parted / Bundle::kWeights));
}

INSTANTIATE_TEST_SUITE_P(Every, RunContract, ::testing::ValuesIn(models().names()),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace interplay::run_contract_test
