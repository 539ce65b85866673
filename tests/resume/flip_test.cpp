// FLIP's two runs, killed at any moment: masks and noise are drawn, features counted before the first step, and dropout
// is on, and yet both end with the bytes of runs that were left in peace.
#include <chrono>
#include <memory>
#include <optional>
#include <thread>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/program.h"
#include "support/temp_dir.h"
#include "support/tiny_bert.h"
#include "watch.h"

namespace fs = std::filesystem;

namespace interplay::testing {
namespace {

constexpr const char* kData = R"(
format: recbole
root: ml
file: ml.inter
split: {by: user_time, user: user_id, time: timestamp, tie: item_id, ratios: [0.8, 0.1, 0.1]}
label: {name: label, column: rating, at_least: 4}
fields:
  - columns: [user_id, item_id, gender, occupation]
  - {name: said, kind: text, tokenizer: bert, template: "user {user_id} , {gender} , film {item_id}", max_tokens: 16}
)";
constexpr const char* kPretrain = R"(
model: {name: flip_pretrain, lm: bert, backbone: {name: deepfm, embedding_dim: 8, hidden: [16], dropout: 0.1}, width: 8}
train: {epochs: 2, batch_size: 64, eval_batch_size: 256, metrics: [], monitor: "term:mtm", keep: last, patience: 0,
  schedule: cosine, checkpoint_every: 7}
seed: 5
)";
constexpr const char* kTune = R"(
model: {name: flip, lm: bert, backbone: {name: deepfm, embedding_dim: 8, hidden: [16], dropout: 0.1}}
train: {epochs: 2, batch_size: 64, eval_batch_size: 256, patience: 0, checkpoint_every: 7}
optimizer: {dense: {lr: 1e-3}, text: {lr: 1e-3}, mix: {lr: 1e-2}}
init: pretrain-whole
seed: 5
)";

class ResumeFlip : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    work_.emplace();
    std::vector<std::string> words{"user", "film", ",", "m", "f"};
    for (int digit = 0; digit < 10; ++digit)
      words.push_back(std::to_string(digit)), words.push_back("##" + std::to_string(digit));
    write_tiny_bert(work_->path() / "bert", words, {.width = 16, .hidden = 32});
    work_->write("data.yaml", kData);
    work_->write("pretrain.yaml", kPretrain);
    work_->write("tune.yaml", kTune);
    expect_success({"synth", "movielens", "--rows", "1500", "--out", "ml"});
    expect_success({"prepare", "data.yaml", "--out", "data"});
    for (const char* what : {"pretrain", "tune"}) expect_success(train(what, std::string(what) + "-whole"));
  }
  static void TearDownTestSuite() { work_.reset(); }

  static std::unique_ptr<Program> start(std::vector<std::string> words) {
    words.insert(words.begin(), INTERPLAY_PROGRAM);
    return std::make_unique<Program>(words, work_->path());
  }
  static void expect_success(const std::vector<std::string>& words) {
    const Finished done = start(words)->wait();
    ASSERT_EQ(done.status, 0) << fmt::format("{}\n{}", fmt::join(words, " "), done.err);
  }
  static std::vector<std::string> train(const std::string& what, const std::string& out) {
    std::vector<std::string> words{"train", what + ".yaml", "--data", "data", "--out", out, "--threads", "1"};
    if (fs::exists(work_->path() / out / "config.yaml")) words.push_back("--resume");
    return words;
  }
  static fs::path run(const std::string& name) { return work_->path() / name; }
  static std::string latest(const std::string& name) {
    std::string text = read(run(name) / "LATEST");
    if (!text.empty()) text.pop_back();
    return text;
  }

  /// Kills a run after its first checkpoint, and whoever goes on after the next one.
  static void kill_and_end(const std::string& what) {
    const std::string out = what + "-killed";
    for (int kill = 0; kill < 3; ++kill) {
      const std::string before = latest(out);
      const auto program = start(train(what, out));
      const bool there = wait_for([&] { return latest(out) != before; }, [&] { return program->running(); });
      ASSERT_TRUE(there) << program->wait().err;
      std::this_thread::sleep_for(std::chrono::milliseconds(7 * kill));
      program->send(SIGKILL);
      ASSERT_EQ(program->wait().status, 128 + SIGKILL) << "it was too quick";
    }
    expect_success(train(what, out));
    const std::string whole = what + "-whole";
    EXPECT_TRUE(read(run(whole) / "model.safetensors") == read(run(out) / "model.safetensors")) << what;
    ASSERT_EQ(latest(whole), latest(out));
    for (const char* file : {"model.safetensors", "optimizer.safetensors"})
      EXPECT_TRUE(read(run(whole) / latest(whole) / file) == read(run(out) / latest(out) / file)) << what << file;
  }

  static inline std::optional<TempDir> work_;
};

TEST_F(ResumeFlip, PreTrainingEndsWithTheSameBytes) { kill_and_end("pretrain"); }
TEST_F(ResumeFlip, TuningEndsWithTheSameBytes) { kill_and_end("tune"); }

}  // namespace
}  // namespace interplay::testing
