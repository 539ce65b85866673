// An ablation that is killed within its runs and between them ends as one that was left in peace, and what was finished
// is not trained again.
#include <filesystem>
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

class AblateResume : public ::testing::Test {
 protected:
  AblateResume() {
    work_.write("fm.yaml", R"(
model: {name: fm, embedding_dim: 4}
train: {epochs: 4, batch_size: 128, patience: 0, checkpoint_every: 10}
optimizer: {embedding: {name: adam, lr: 1e-2}, dense: {name: adam, lr: 1e-2}}
)");
    expect_success({"synth", "planted", "--rows", "10000", "--fields", "4", "--pairs", "0-1", "--out", "raw"});
    expect_success({"prepare", "raw/data.yaml", "--out", "data"});
  }
  std::vector<std::string> ablate(const std::string& out) const {
    std::vector<std::string> words{"ablate", "fm.yaml", "--data", "data",    "--out", out,         "--drop",
                                   "f0",     "--drop",  "f2,f3",  "--seeds", "1,2",   "--threads", "1"};
    if (fs::exists(work_.path() / out / "config.yaml")) words.push_back("--resume");
    return words;
  }
  Program start(std::vector<std::string> words) const {
    words.insert(words.begin(), INTERPLAY_PROGRAM);
    return Program(words, work_.path());
  }
  Finished expect_success(const std::vector<std::string>& words) const {
    const Finished done = start(words).wait();
    EXPECT_EQ(done.status, 0) << fmt::format("{}\n{}", fmt::join(words, " "), done.err);
    return done;
  }
  /// Kills the ablation once `file` is there.
  void kill_at(const std::string& out, const std::string& file) const {
    Program program = start(ablate(out));
    ASSERT_TRUE(wait_for([&] { return fs::exists(work_.path() / out / file); }, [&] { return program.running(); }));
    program.send(SIGKILL);
    EXPECT_EQ(program.wait().status, 128 + SIGKILL);
    EXPECT_FALSE(fs::exists(work_.path() / out / "manifest.json"));
  }

  TempDir work_;
};

TEST_F(AblateResume, KilledWithinAndBetweenRunsItEndsTheSame) {
  expect_success(ablate("whole"));
  kill_at("killed", "runs/with-all/seed-1/LATEST");         // within the first run, behind a checkpoint
  kill_at("killed", "runs/without-f0/seed-1/config.yaml");  // two runs are done, the third has begun
  const fs::path first = work_ / "killed/runs/with-all/seed-1";
  ASSERT_TRUE(fs::exists(first / "manifest.json"));
  const auto trained = fs::last_write_time(first / "model.safetensors");
  kill_at("killed", "runs/without-f2%26f3/seed-1/manifest.json");
  const Finished done = expect_success(ablate("killed"));
  EXPECT_NE(done.err.find("run 1 of 6, with all fields, seed 1: done before"), std::string::npos) << done.err;
  EXPECT_EQ(fs::last_write_time(first / "model.safetensors"), trained);
  for (const char* run : {"with-all/seed-1", "without-f0/seed-1", "without-f2%26f3/seed-2"}) {
    const auto weights = [&](const char* of) { return read(work_ / of / "runs" / run / "model.safetensors"); };
    EXPECT_FALSE(weights("whole").empty());
    EXPECT_TRUE(weights("whole") == weights("killed")) << run;
  }
  EXPECT_EQ(read(work_ / "whole/ablate.json"), read(work_ / "killed/ablate.json"));
  EXPECT_TRUE(fs::exists(work_ / "killed/manifest.json"));
}

}  // namespace
}  // namespace interplay::testing
