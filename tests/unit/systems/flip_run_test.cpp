// FLIP from raw rows to runs: pre-training, tuning, and what is left of it as a run of the ids alone.
#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <interplay/base/files.h>
#include <interplay/base/log.h>
#include <interplay/base/progress.h>
#include <interplay/core/bundle.h>
#include <interplay/data/prepare.h>
#include <interplay/nn/safetensors.h>
#include <interplay/serve/scorer.h>
#include <interplay/train/run.h>

#include "support/raw_scores.h"
#include "support/temp_dir.h"
#include "support/tiny_bert.h"

namespace interplay::flip::flip_run_test {
namespace {

namespace fs = std::filesystem;

class FlipRun : public ::testing::Test {
 protected:
  FlipRun() {
    log::set_level(log::Level::off);
    Progress::enable(false);
    std::vector<std::string> words{"user", "item", "is", ";"};
    for (int i = 0; i < 12; ++i) words.push_back(fmt::format("u{}", i)), words.push_back(fmt::format("i{}", i));
    interplay::testing::write_tiny_bert(dir_ / "bert", words, {.width = 16, .hidden = 24});
    write("train.csv", 0, 200), write("valid.csv", 200, 60), write("test.csv", 260, 60);
    const std::string data = fmt::format(
        "files: {{train: train.csv, valid: valid.csv, test: test.csv}}\nlabel: click\nfields:\n  - {{columns: [user, "
        "item]}}\n  - {{name: said, kind: text, tokenizer: {}, template: \"user is {{user}} ; item is {{item}}\", "
        "max_tokens: 16}}\n",
        (dir_ / "bert").string());
    prepare(Config::load(dir_.write("data.yaml", data)), dir_ / "data");
  }
  ~FlipRun() override { log::set_level(log::Level::info); }

  void write(const std::string& file, int first, int count) {
    std::string text = "click,user,item\n";
    for (int r = first; r < first + count; ++r)
      text += fmt::format("{},u{},i{}\n", (r * r / 3) % 2, r % 11, (r * 7) % 12);
    dir_.write(file, text);
  }
  std::string of(const std::string& name) const { return (dir_ / name).string(); }
  RunSummary train(const std::string& out, const std::string& model, const std::string& more = "") const {
    return train_run(
        Config::parse(fmt::format("{{model: {}, train: {{epochs: 2, batch_size: 32, patience: 0{}, seed: 3, "
                                  "threads: 1}}",
                                  model, more.empty() ? "}" : more)),
        {.data = dir_ / "data", .out = dir_ / out});
  }
  RunSummary pretrain(const std::string& out) const {
    return train(out, "{name: flip_pretrain, lm: " + of("bert") + ", backbone: " + kDnn + "}",
                 ", monitor: 'term:mtm', keep: last, metrics: []}");
  }
  std::string tuned() const { return "{name: flip, lm: " + of("bert") + ", backbone: " + kDnn + "}"; }
  std::map<std::string, at::Tensor> weights(const std::string& run) const {
    return nn::Safetensors(dir_ / run / Bundle::kWeights).tensors();
  }

  static constexpr const char* kDnn = "{name: dnn, embedding_dim: 4, hidden: [8]}";
  const interplay::testing::TempDir dir_;
};

std::vector<std::string> names(const std::vector<MetricValue>& values) {
  std::vector<std::string> out;
  for (const auto& v : values) out.push_back(v.name);
  return out;
}

TEST_F(FlipRun, TellsWhatIsRecoveredWhereThereIsNoLogitYet) {
  const RunSummary summary = pretrain("pre");
  const std::vector<std::string> expected{"term:mlm", "term:mlm_accuracy", "term:mlm_accuracy_alone",
                                          "term:mtm", "term:mtm_accuracy", "term:mtm_accuracy_alone",
                                          "term:icl"};
  EXPECT_EQ(names(summary.test), expected);
  EXPECT_EQ(names(summary.valid), expected);
  EXPECT_EQ(names(summary.fit.evaluations.at(0).metrics), expected);
  EXPECT_GT(summary.fit.tokens_per_s, 0);
  std::vector<std::string> curves;
  for (const auto& [name, mean] : summary.fit.evaluations.at(0).terms) curves.push_back(name);
  EXPECT_EQ(curves, (std::vector<std::string>{"mlm", "mtm", "icl"}));
}

TEST_F(FlipRun, TuningBeginsWithTheTowersOfThePreTraining) {
  pretrain("pre");
  for (const char* out : {"one", "two"}) {
    train_run(Config::parse(fmt::format("{{model: {}, train: {{epochs: 0}}, init: {}, seed: 3, threads: 1}}", tuned(),
                                        of("pre"))),
              {.data = dir_ / "data", .out = dir_ / out});
  }
  EXPECT_EQ(read_file(dir_ / "one" / Bundle::kWeights), read_file(dir_ / "two" / Bundle::kWeights));
  const auto before = weights("pre"), after = weights("one");
  int64_t towers = 0;
  for (const auto& [name, weight] : after) {
    if (!name.starts_with("text.") && !name.starts_with("backbone.")) continue;
    EXPECT_TRUE(at::equal(weight, before.at(name))) << name;
    ++towers;
  }
  EXPECT_GT(towers, 30);
}

TEST_F(FlipRun, WhatIsLeftOfTheIdsScoresRawRowsWithoutALanguageModel) {
  pretrain("pre");
  train_run(
      Config::parse(fmt::format("{{model: {}, train: {{epochs: 1, batch_size: 32}}, optimizer: {{dense: {{lr: "
                                "1e-3}}, text: {{lr: 5e-5}}, mix: {{lr: 1e-2}}}}, init: {}, seed: 3, threads: 1}}",
                                tuned(), of("pre"))),
      {.data = dir_ / "data", .out = dir_ / "flip"});
  EXPECT_NE(weights("flip").at("mix.share").item<float>(), 0);
  const auto scorer = Scorer::load(dir_ / "flip");
  EXPECT_EQ(interplay::testing::raw_scores(scorer, dir_ / "test.csv").size(), 60u);
  const RunSummary of_ids =
      train_run(Config::parse(fmt::format(
                    "{{model: {}, fields: {{drop: [said]}}, train: {{epochs: 0}}, init: {{'{}:backbone': ''}}, "
                    "seed: 4, threads: 1}}",
                    kDnn, of("pre"))),
                {.data = dir_ / "data", .out = dir_ / "ids"});
  const auto before = weights("pre");
  for (const auto& [name, weight] : weights("ids"))
    EXPECT_TRUE(at::equal(weight, before.at("backbone." + name))) << name;
  fs::rename(dir_ / "bert", dir_ / "gone");
  const auto alone = Scorer::load(dir_ / "ids");
  EXPECT_EQ(interplay::testing::raw_scores(alone, dir_ / "test.csv").size(), 60u);
}

}  // namespace
}  // namespace interplay::flip::flip_run_test
