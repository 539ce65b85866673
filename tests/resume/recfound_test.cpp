// `lm tune`, killed at any moment: rows are drawn, dropout is on, tasks are chosen by what was measured, and yet the
// run ends with the bytes of one that was left in peace.
#include <chrono>
#include <memory>
#include <optional>
#include <thread>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/program.h"
#include "support/temp_dir.h"
#include "watch.h"

namespace fs = std::filesystem;

namespace interplay::testing {
namespace {

constexpr const char* kTasks = R"(
precision: fp32
tasks:
  - {name: find, family: embedding, train: find.jsonl, valid: find.jsonl}
  - {name: look, family: embedding, train: look.jsonl, valid: find.jsonl}
  - {name: ask, family: generation, train: ask.jsonl, valid: ask.jsonl}
  - {name: tell, family: generation, train: ask.jsonl, valid: ask.jsonl}
adapters: {rank: 2, dropout: 0.2, router_width: 16}
batch: {embedding: 4, generation: 4, group: 3, chunk: 5}
sampling: {warmup: 6, window: 12, valid_batches: 3, valid_rows: 4}
steps: 60
checkpoint_every: 7
seed: 5
)";

class ResumeTuning : public ::testing::Test {
 protected:
  ResumeTuning() {
    std::string queries, others, prompts;
    for (int i = 0; i < 30; ++i) {
      queries += fmt::format(
          "{{\"query\": \"query {0}\", \"positive\": [\"text {0}\", \"{0}\"], \"negatives\": [\"a {1}\", \"b\", "
          "\"c\"]}}\n",
          i, i + 1);
      others += fmt::format("{{\"query\": \"{0}\", \"positive\": \"{0} {0}\", \"negatives\": \"other\"}}\n", i * i);
      prompts += fmt::format("{{\"prompt\": \"is {0} even\", \"answer\": \"{1}\"}}\n", i, i % 2 == 0 ? "Yes" : "No");
    }
    work_.write("find.jsonl", queries);
    work_.write("look.jsonl", others);
    work_.write("ask.jsonl", prompts);
    work_.write("tasks.yaml", fmt::format("lm: {}/reference/data/tiny_chat.gguf\n{}", INTERPLAY_TESTS_DIR, kTasks));
  }
  std::unique_ptr<Program> start(const std::string& out, bool resume) {
    std::vector<std::string> words{INTERPLAY_PROGRAM, "lm", "tune", "tasks.yaml", "--out", out, "--threads", "1"};
    if (resume) words.push_back("--resume");
    return std::make_unique<Program>(words, work_.path());
  }
  fs::path run(const std::string& name) { return work_ / name; }
  std::string latest(const std::string& name) {
    std::string text = read(run(name) / "LATEST");
    if (!text.empty()) text.pop_back();
    return text;
  }
  TempDir work_;
};

TEST_F(ResumeTuning, EndsWithTheSameBytes) {
  const Finished whole = start("whole", false)->wait();
  ASSERT_EQ(whole.status, 0) << whole.err;
  for (int kill = 0; kill < 3; ++kill) {
    const std::string before = latest("killed");
    const auto program = start("killed", kill > 0);
    const bool there = wait_for([&] { return latest("killed") != before; }, [&] { return program->running(); });
    ASSERT_TRUE(there) << program->wait().err;
    std::this_thread::sleep_for(std::chrono::milliseconds(7 * kill));
    program->send(SIGKILL);
    ASSERT_EQ(program->wait().status, 128 + SIGKILL) << "it was too quick";
  }
  const Finished end = start("killed", true)->wait();
  ASSERT_EQ(end.status, 0) << end.err;
  ASSERT_EQ(latest("whole"), latest("killed"));
  const fs::path checkpoint = latest("whole");
  for (const fs::path& file :
       {fs::path("adapters.safetensors"), fs::path("router.safetensors"), fs::path("metrics.jsonl"),
        fs::path("tuned.json"), fs::path("snapshots/0000035.safetensors"), checkpoint / "optimizer.safetensors",
        checkpoint / "state.json"})
    EXPECT_TRUE(read(run("whole") / file) == read(run("killed") / file)) << file;
  EXPECT_FALSE(read(run("whole") / "metrics.jsonl").empty());
}

TEST_F(ResumeTuning, CtrlCLeavesACheckpoint) {
  const auto program = start("run", false);
  ASSERT_TRUE(wait_for([&] { return !latest("run").empty(); }, [&] { return program->running(); }));
  program->send(SIGINT);
  const Finished stopped = program->wait();
  EXPECT_EQ(stopped.status, 130) << stopped.err;
  EXPECT_THAT(stopped.err, ::testing::HasSubstr("a checkpoint is written, go on with --resume"));
  EXPECT_FALSE(fs::exists(run("run") / "tuned.json"));
}

}  // namespace
}  // namespace interplay::testing
