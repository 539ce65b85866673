// However often a run is ended and by whatever means, once resumed to its end it is, to the byte, the run that was left
// in peace.
#include <chrono>
#include <fstream>
#include <functional>
#include <memory>
#include <optional>
#include <random>
#include <regex>
#include <sstream>
#include <thread>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "support/program.h"
#include "support/temp_dir.h"
#include "watch.h"

namespace fs = std::filesystem;

namespace interplay::testing {
namespace {

using ::testing::Each;
using ::testing::Gt;
using ::testing::HasSubstr;
using Json = nlohmann::ordered_json;

constexpr int kCheckpointEvery = 7;  // no divisor of eval_every, nor of the 38 steps of an epoch
constexpr const char* kData = R"(
format: recbole
root: ml
file: ml.inter
split: {by: user_time, user: user_id, time: timestamp, tie: item_id, ratios: [0.8, 0.1, 0.1]}
label: {name: label, column: rating, at_least: 4}
fields:
  - columns: [user_id, item_id, gender, occupation]
  - {column: age, kind: numeric, transform: standardise}
  - {column: class, name: genres, kind: sequence}
)";
// Dropout needs the random state, plateau its own, clipping and momentum theirs; the order of rows follows the seed.
constexpr const char* kExperiment = R"(
model: {name: deepfm, embedding_dim: 8, hidden: [32, 16], dropout: 0.3}
train:
  epochs: 4
  batch_size: 128
  patience: 0
  eval_every: 10
  checkpoint_every: 7
  warmup_steps: 20
  clip_norm: 1
  schedule: {name: plateau, factor: 0.5, patience: 1}
optimizer:
  embedding: {name: adam, lr: 1e-2, l2: 1e-5}
  dense: {name: adam, lr: 1e-3}
seed: 5
)";

class Resume : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    work_.emplace();
    work_->write("data.yaml", kData);
    work_->write("experiment.yaml", kExperiment);
    expect_success({"synth", "movielens", "--rows", "6000", "--out", "ml"});
    expect_success({"prepare", "data.yaml", "--out", "data"});
    const auto begin = std::chrono::steady_clock::now();
    expect_success(train("whole"));
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    const Json summary = Json::parse(read(run("whole") / "summary.json"));
    steps_ = summary.at("steps");
    step_seconds_ = double(summary.at("seconds")) / steps_;
    start_seconds_ = std::max(0.1, seconds - double(summary.at("seconds")));
  }
  static void TearDownTestSuite() { work_.reset(); }

  static fs::path run(const std::string& name) { return work_->path() / name; }
  static std::vector<std::string> train(const std::string& out, const std::string& threads = "1") {
    std::vector<std::string> words{"train", "experiment.yaml", "--data", "data", "--out", out, "--threads", threads};
    if (fs::exists(run(out) / "config.yaml")) words.push_back("--resume");
    return words;
  }
  static std::unique_ptr<Program> start(std::vector<std::string> words) {
    words.insert(words.begin(), INTERPLAY_PROGRAM);
    return std::make_unique<Program>(words, work_->path());
  }
  static void expect_success(const std::vector<std::string>& words) {
    const Finished done = start(words)->wait();
    ASSERT_EQ(done.status, 0) << fmt::format("{}\n{}", fmt::join(words, " "), done.err);
  }

  /// The step of the checkpoint that LATEST names, 0 without one.
  static int latest_step(const std::string& name) {
    const std::string latest = read(run(name) / "LATEST");
    return latest.empty() ? 0 : std::atoi(latest.c_str() + std::string("checkpoint-").size());
  }
  static fs::path checkpoint(const std::string& name) {
    std::string latest = read(run(name) / "LATEST");
    latest.pop_back();
    return run(name) / latest;
  }
  static bool any_aside(const std::string& name, const std::string& prefix) {
    std::error_code ignored;
    for (const auto& entry : fs::directory_iterator(run(name), ignored)) {
      if (entry.path().filename().string().starts_with(prefix)) return true;
    }
    return false;
  }

  static void expect_same_run(const std::string& name) {
    SCOPED_TRACE(name);
    ASSERT_GT(read(checkpoint(name) / "optimizer.safetensors").size(), 10000u);
    for (const char* file : {"model.safetensors", "schema.yaml", "vocabulary/item_id.parquet"})
      EXPECT_TRUE(read(run("whole") / file) == read(run(name) / file)) << file;
    for (const char* file : {"model.safetensors", "optimizer.safetensors"})
      EXPECT_TRUE(read(checkpoint("whole") / file) == read(checkpoint(name) / file)) << "checkpoint: " << file;
    EXPECT_EQ(latest_step("whole"), latest_step(name));
    EXPECT_EQ(metrics("whole"), metrics(name));
    EXPECT_EQ(without_timings(Json::parse(read(checkpoint("whole") / "state.json"))),
              without_timings(Json::parse(read(checkpoint(name) / "state.json"))));
    const Finished inspected = start({"inspect", name})->wait();
    EXPECT_EQ(inspected.status, 0) << inspected.err;
    EXPECT_THAT(inspected.out, HasSubstr("finished run of model deepfm"));
    for (const auto& entry : fs::recursive_directory_iterator(run(name)))
      EXPECT_FALSE(entry.path().filename().string().starts_with(".")) << entry.path() << " was left behind";
  }

  static std::vector<Json> metrics(const std::string& name) {
    std::vector<Json> lines;
    std::istringstream in(read(run(name) / "metrics.jsonl"));
    for (std::string line; std::getline(in, line);) lines.push_back(without_timings(Json::parse(line)));
    return lines;
  }

  /// The numbers that `pattern` finds in the part of a log from `begin` on.
  static std::vector<int> numbers(const std::string& name, size_t begin, const std::string& pattern) {
    const std::string log = read(run(name) / "train.log").substr(begin);
    const std::regex regex(pattern);
    std::vector<int> out;
    for (auto it = std::sregex_iterator(log.begin(), log.end(), regex); it != std::sregex_iterator(); ++it)
      out.push_back(std::stoi((*it)[1]));
    return out;
  }

  static inline std::optional<TempDir> work_;
  static inline int steps_ = 0;
  static inline double step_seconds_ = 0, start_seconds_ = 0;  // of a run left in peace
};

TEST_F(Resume, RunsOfOneSeedAreTheSame) {
  expect_success(train("again"));
  expect_same_run("again");
}

/// Where in the life of a run it is killed.
enum class Moment { starting, anywhere, writing_checkpoint, writing_weights };

TEST_F(Resume, KilledTwentyTimesItEndsTheSame) {
  constexpr int kKills = 20, kTries = 60;
  std::mt19937 random(20);
  const auto at_most = [&](double seconds) {
    return std::chrono::duration<double>(std::uniform_real_distribution<>(0, seconds)(random));
  };
  std::vector<Moment> moments;
  for (const auto& [moment, times] : {std::pair(Moment::starting, 4),
                                      {Moment::anywhere, 6},
                                      {Moment::writing_checkpoint, 6},
                                      {Moment::writing_weights, 4}})
    moments.insert(moments.end(), size_t(times), moment);
  std::shuffle(moments.begin(), moments.end(), random);

  // A run that ends before its kill arrives is compared, and the kills go on with a fresh one: how fast the machine is
  // decides how many runs it takes, not whether the test passes.
  std::vector<std::string> names{"killed-1"};
  int before = 0;                            // step of the last checkpoint
  int kills = 0, cut = 0, kills_of_run = 0;  // cut: in the middle of writing a file
  for (int tries = 0; tries < kTries && (kills < kKills || cut < 3); ++tries) {
    SCOPED_TRACE(fmt::format("try {}", tries));
    const std::string name = names.back();
    const int goal = int(0.85 * steps_ * std::min(kills_of_run, kKills - 1) / kKills);
    const size_t logged = read(run(name) / "train.log").size();
    const auto program = start(train(name));
    const auto alive = [&] { return program->running(); };
    const auto reached = [&] { return latest_step(name) >= goal; };
    switch (moments[size_t(tries) % moments.size()]) {
      case Moment::starting: std::this_thread::sleep_for(at_most(1.2 * start_seconds_)); break;
      case Moment::anywhere:
        wait_for(reached, alive);
        std::this_thread::sleep_for(at_most(8 * step_seconds_));
        break;
      case Moment::writing_checkpoint:
        wait_for([&] { return reached() && any_aside(name, ".checkpoint-"); }, alive);
        std::this_thread::sleep_for(at_most(0.5 * step_seconds_));
        break;
      case Moment::writing_weights:  // of an evaluation that improved; such may not come again, so not for long
        wait_for(reached, alive);
        wait_for([&] { return any_aside(name, ".model.safetensors") || latest_step(name) > goal + 14; }, alive);
        break;
    }
    program->send(SIGKILL);
    const Finished done = program->wait();
    if (done.status == 0) {
      expect_same_run(name);
      names.push_back(fmt::format("killed-{}", names.size() + 1));
      before = kills_of_run = 0;
      continue;
    }
    ASSERT_EQ(done.status, 128 + SIGKILL) << done.err;
    ++kills, ++kills_of_run;
    cut += any_aside(name, ".");

    // It went on from the last checkpoint, and what it did after the next one is all that is lost.
    const auto resumed = numbers(name, logged, "resumed at step (\\d+)");
    ASSERT_LE(resumed.size(), 1u);
    EXPECT_TRUE(resumed.empty() || resumed[0] == before) << resumed[0];
    const auto evaluated = numbers(name, logged, "  step (\\d+)  ");
    EXPECT_THAT(evaluated, Each(Gt(before)));
    const int after = latest_step(name);
    EXPECT_GE(after, before);
    EXPECT_TRUE(evaluated.empty() || evaluated.back() <= after + kCheckpointEvery) << evaluated.back();
    before = after;
  }
  EXPECT_GE(kills, kKills);
  EXPECT_GE(cut, 3);
  expect_success(train(names.back()));
  expect_same_run(names.back());
}

TEST_F(Resume, InterruptedItLeavesACheckpointAndEndsTheSame) {
  for (const int signal : {SIGINT, SIGTERM}) {
    const auto program = start(train("interrupted"));
    const int goal = signal == SIGINT ? steps_ / 3 : 2 * steps_ / 3;
    ASSERT_TRUE(wait_for([&] { return latest_step("interrupted") >= goal; }, [&] { return program->running(); }));
    program->send(signal);
    const Finished done = program->wait();
    ASSERT_EQ(done.status, 130) << done.err;
    std::smatch found;
    ASSERT_TRUE(std::regex_search(done.err, found, std::regex("interrupted at step (\\d+); .*--resume"))) << done.err;
    EXPECT_EQ(std::stoi(found[1]), latest_step("interrupted"));
    EXPECT_FALSE(fs::exists(run("interrupted") / "manifest.json"));
  }
  expect_success(train("interrupted"));
  expect_same_run("interrupted");
}

TEST_F(Resume, MoreEpochsOfAFinishedRunAreThoseOfALongerOne) {
  auto shorter = train("longer");
  shorter.insert(shorter.end(), {"--set", "train.epochs=2"});
  expect_success(shorter);
  EXPECT_LT(latest_step("longer"), steps_);
  expect_success(train("longer"));
  expect_same_run("longer");
}

TEST_F(Resume, AnotherNumberOfThreadsIsWarnedOf) {
  const auto program = start(train("threads"));
  ASSERT_TRUE(wait_for([&] { return latest_step("threads") > 0; }, [&] { return program->running(); }));
  program->send(SIGINT);
  ASSERT_EQ(program->wait().status, 130);
  const auto other = start(train("threads", "2"));
  const auto warned = [&] {
    return read(run("threads") / "train.log").find("warning: the run was begun with 1 thread") != std::string::npos;
  };
  EXPECT_TRUE(wait_for(warned, [&] { return other->running(); }));
  other->send(SIGINT);
  EXPECT_THAT(other->wait().status, ::testing::AnyOf(0, 130));
}

}  // namespace
}  // namespace interplay::testing
