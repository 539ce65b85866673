// A search that is killed within its stages and between them ends as one that was left in peace.
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "support/program.h"
#include "support/temp_dir.h"
#include "watch.h"

namespace fs = std::filesystem;

namespace interplay::testing {
namespace {

using Json = nlohmann::ordered_json;

// checkpoint_every divides neither the 63 steps of an epoch nor the steps between readings of the gates.
constexpr const char* kExperiment = R"(
model: {name: fm, embedding_dim: 4}
train: {epochs: 4, batch_size: 128, patience: 0, checkpoint_every: 10}
optimizer: {embedding: {name: adam, lr: 1e-2}, dense: {name: adam, lr: 1e-2}}
search: {name: autofis, epochs: 4, keep: 0.5}
seed: 5
)";
const std::vector<std::string> kStages{"1-base", "2-search", "3-retrain"};

class SearchResume : public ::testing::Test {
 protected:
  SearchResume() {
    work_.write("experiment.yaml", kExperiment);
    expect_success({"synth", "planted", "--rows", "10000", "--out", "raw"});
    expect_success({"prepare", "raw/data.yaml", "--out", "data"});
    expect_success(search("whole"));
  }
  std::vector<std::string> search(const std::string& out) const {
    std::vector<std::string> words{"search", "experiment.yaml", "--data", "data", "--out", out, "--threads", "1"};
    if (fs::exists(work_.path() / out / "config.yaml")) words.push_back("--resume");
    return words;
  }
  Program start(std::vector<std::string> words) const {
    words.insert(words.begin(), INTERPLAY_PROGRAM);
    return Program(words, work_.path());
  }
  void expect_success(const std::vector<std::string>& words) const {
    const Finished done = start(words).wait();
    ASSERT_EQ(done.status, 0) << fmt::format("{}\n{}", fmt::join(words, " "), done.err);
  }
  /// Kills the search `out` once `moment` has come; false where it ended before.
  bool killed(const std::string& out, const std::function<bool()>& moment) const {
    Program program = start(search(out));
    wait_for(moment, [&] { return program.running(); });
    program.send(SIGKILL);
    return program.wait().status == 128 + SIGKILL;
  }
  void expect_same(const std::string& out) const {
    SCOPED_TRACE(out);
    const auto same = [&](const std::string& file) {
      const std::string expected = read(work_.path() / "whole" / file);
      EXPECT_FALSE(expected.empty()) << file;
      EXPECT_TRUE(expected == read(work_.path() / out / file)) << file;
    };
    for (const auto& stage : kStages) same("stages/" + stage + "/model.safetensors");
    same("stages/2-search/gates.jsonl");
    same("retrain.yaml");
    same("config.yaml");
    const auto json = [&](const std::string& name) {
      return without_timings(Json::parse(read(work_.path() / name / "search.json")));
    };
    EXPECT_EQ(json("whole"), json(out));
  }

  TempDir work_;
};

TEST_F(SearchResume, KilledWithinAndBetweenStagesItEndsTheSame) {
  const auto stage = [&](const std::string& name) { return work_.path() / "killed/stages" / name; };
  int kills = 0;
  for (const auto& name : kStages) {
    kills += killed("killed", [&] { return fs::exists(stage(name) / "config.yaml"); });  // before its first checkpoint
    kills += killed("killed", [&] { return !read(stage(name) / "LATEST").empty(); });
    kills += killed("killed", [&] { return fs::exists(stage(name) / "manifest.json"); });  // it is the last it writes
  }
  EXPECT_GE(kills, 6);  // the last stage may end before its kill arrives
  expect_success(search("killed"));
  expect_same("killed");
}

TEST_F(SearchResume, InterruptedItSaysHowToGoOnAndEndsTheSame) {
  Program program = start(search("interrupted"));
  const auto gates = work_ / "interrupted/stages/2-search/LATEST";
  ASSERT_TRUE(wait_for([&] { return fs::exists(gates); }, [&] { return program.running(); }));
  program.send(SIGINT);
  const Finished done = program.wait();
  ASSERT_EQ(done.status, 130) << done.err;
  EXPECT_NE(done.err.find("go on with --resume"), std::string::npos) << done.err;
  expect_success(search("interrupted"));
  expect_same("interrupted");
}

}  // namespace
}  // namespace interplay::testing
