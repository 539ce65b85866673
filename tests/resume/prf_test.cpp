// QA4PRF's run, killed at any moment: it ends with the bytes of one that was left in peace.
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

constexpr const char* kExperiment = R"(
index: index
queries: queries.tsv
qrels: qrels.tsv
folds: 3
feedback: {documents: 4, most_common: 0.5}
network: {width: 16, hidden: 16, epochs: 4, patience: 0, steps: 4, batch_size: 8}
ranker: {epochs: 5}
seed: 5
)";

class ResumePrf : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string documents, queries, qrels;
    for (int q = 0; q < 24; ++q) {
      queries += fmt::format("{0}\tabout topic{0}\n", q);
      for (int d = 0; d < 6; ++d) {
        const int place = 6 * q + d;
        documents += d < 3 ? fmt::format("{0}\ttopic{1} also called other{1} noise{2}\n", place, q, place * 7 % 31)
                           : fmt::format("{0}\tother{1} noise{2} noise{3}\n", place, q, place % 31, place * 3 % 31);
        qrels += fmt::format("{}\t{}\t1\n", q, place);
      }
    }
    work_.write("docs.tsv", documents), work_.write("queries.tsv", queries), work_.write("qrels.tsv", qrels);
    work_.write("experiment.yaml", kExperiment);
    expect_success({"prf", "index", "docs.tsv", "--out", "index"});
    expect_success(train("whole"));
  }
  std::unique_ptr<Program> start(std::vector<std::string> words) const {
    words.insert(words.begin(), INTERPLAY_PROGRAM);
    return std::make_unique<Program>(words, work_.path());
  }
  void expect_success(const std::vector<std::string>& words) const {
    const Finished done = start(words)->wait();
    ASSERT_EQ(done.status, 0) << fmt::format("{}\n{}", fmt::join(words, " "), done.err);
  }
  std::vector<std::string> train(const std::string& out) const {
    std::vector<std::string> words{"prf", "train", "experiment.yaml", "--out", out, "--threads", "1"};
    if (fs::exists(work_.path() / out / "config.yaml")) words.push_back("--resume");
    return words;
  }
  std::string state(const std::string& out) const { return read(work_.path() / out / "checkpoint" / "state.json"); }

  /// Ends a run by a signal after its next pass.
  void end(const std::string& out, int signal, int status, int wait_ms) const {
    const std::string before = state(out);
    const auto program = start(train(out));
    const bool there =
        wait_for([&] { return !state(out).empty() && state(out) != before; }, [&] { return program->running(); });
    ASSERT_TRUE(there) << program->wait().err;
    std::this_thread::sleep_for(std::chrono::milliseconds(wait_ms));
    program->send(signal);
    const Finished done = program->wait();
    ASSERT_EQ(done.status, status) << done.err;
  }
  void expect_the_same(const std::string& out) const {
    expect_success(train(out));
    for (const char* file : {"fold-1/model.safetensors", "fold-2/model.safetensors", "fold-3/model.safetensors",
                             "fold-2/fold.json", "qa4prf.run", "rm3.run", "metrics.jsonl", "queries.json"}) {
      ASSERT_FALSE(read(work_.path() / "whole" / file).empty()) << file;
      EXPECT_TRUE(read(work_.path() / "whole" / file) == read(work_.path() / out / file)) << file;
    }
    EXPECT_FALSE(fs::exists(work_.path() / out / "checkpoint"));
  }
  const TempDir work_;
};

TEST_F(ResumePrf, AKilledRunEndsWithTheSameBytes) {
  for (int kill = 0; kill < 4; ++kill) end("killed", SIGKILL, 128 + SIGKILL, 3 * kill);
  expect_the_same("killed");
}

TEST_F(ResumePrf, AnInterruptedRunEndsWithTheSameBytes) {
  end("interrupted", SIGINT, 130, 0);
  expect_the_same("interrupted");
}

}  // namespace
}  // namespace interplay::testing
