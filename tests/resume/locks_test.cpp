// Two processes at one directory: who writes it holds it, the second writer is refused by name, readers are let in.
#include <sys/stat.h>

#include <fstream>
#include <memory>
#include <optional>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/program.h"
#include "support/temp_dir.h"
#include "watch.h"

namespace fs = std::filesystem;

namespace interplay::testing {
namespace {

using ::testing::HasSubstr;

constexpr const char* kData = R"(
format: recbole
root: ml
file: ml.inter
split: {by: user_time, user: user_id, time: timestamp, tie: item_id, ratios: [0.8, 0.1, 0.1]}
label: {name: label, column: rating, at_least: 4}
fields:
  - columns: [user_id, item_id, gender]
  - {column: age, kind: numeric, transform: standardise}
  - {name: history, kind: history, user: user_id, item: item_id, time: timestamp, max_length: 5}
)";

/// Whether any process holds the lock of `path`, as the system lists it: asking for the lock would be taking it.
bool is_locked(const fs::path& path) {
  struct stat own {};
  if (::stat(path.c_str(), &own) != 0) return false;
  return read("/proc/locks").find(fmt::format(":{} 0 EOF", own.st_ino)) != std::string::npos;
}

class Locks : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    work_.emplace();
    work_->write("data.yaml", kData);
    work_->write("long.yaml",
                 "model: {name: fm}\ntrain: {epochs: 100000, batch_size: 20, checkpoint_every: 20, patience: 0}\n");
    work_->write("short.yaml", "model: {name: lr}\ntrain: {epochs: 1, batch_size: 100}\n");
    work_->write("search.yaml",
                 "model: {name: fm}\ntrain: {epochs: 100000, batch_size: 20}\nsearch: {name: autofis}\n");
    expect_success({"synth", "movielens", "--rows", "2000", "--out", "ml"});
    expect_success({"prepare", "data.yaml", "--out", "data"});
  }
  static void TearDownTestSuite() { work_.reset(); }

  static std::unique_ptr<Program> start(std::vector<std::string> words) {
    words.insert(words.begin(), INTERPLAY_PROGRAM);
    return std::make_unique<Program>(words, work_->path());
  }
  static Finished finish(const std::vector<std::string>& words) { return start(words)->wait(); }
  static void expect_success(const std::vector<std::string>& words) {
    const Finished done = finish(words);
    ASSERT_EQ(done.status, 0) << fmt::format("{}\n{}", fmt::join(words, " "), done.err);
  }
  static void expect_refused(const std::vector<std::string>& words, const std::string& directory) {
    const Finished done = finish(words);
    EXPECT_EQ(done.status, 2) << fmt::format("{}\n{}", fmt::join(words, " "), done.err);
    EXPECT_THAT(done.err, HasSubstr(directory + ": is being written by another process"));
    EXPECT_THAT(done.err, HasSubstr("wait until that has ended"));
  }
  static std::vector<std::string> train(const std::string& experiment, const std::string& out,
                                        const std::string& data = "data") {
    return {"train", experiment, "--data", data, "--out", out, "--threads", "1"};
  }
  /// A training that has come to its first weights and goes on until it is told to stop.
  static std::unique_ptr<Program> training(const std::string& out, const std::string& data = "data") {
    auto program = start(train("long.yaml", out, data));
    EXPECT_TRUE(wait_for(
        [&] { return fs::exists(*work_ / (out + "/LATEST")) && fs::exists(*work_ / (out + "/model.safetensors")); },
        [&] { return program->running(); }));
    return program;
  }
  static void expect_stops_whole(Program& program) {
    EXPECT_TRUE(program.running());
    program.send(SIGINT);
    const Finished done = program.wait();
    EXPECT_EQ(done.status, 130) << done.err;
  }
  static inline std::optional<TempDir> work_;
};

TEST_F(Locks, ResumeBesideATrainingIsRefusedAndDisturbsNothing) {
  const auto program = training("run");
  auto again = train("long.yaml", "run");
  expect_refused(again, "run");
  again.push_back("--resume");
  expect_refused(again, "run");
  expect_success({"eval", "run", "--data", "data"});
  expect_success({"predict", "run", "ml/ml.inter", "--history", "ml/ml.inter", "--out", "scores.csv"});
  expect_success({"inspect", "run"});
  expect_stops_whole(*program);
  const auto resumed = start(again);
  EXPECT_TRUE(
      wait_for([&] { return read(*work_ / "run/train.log").find("resum") != std::string::npos || resumed->running(); },
               [&] { return resumed->running(); }));
  resumed->send(SIGKILL);
  resumed->wait();  // a killed one leaves no lock
  const auto third = start(again);
  std::this_thread::sleep_for(std::chrono::seconds(2));
  expect_stops_whole(*third);
}

TEST_F(Locks, PreparingAnewUnderATrainingDoesNotDisturbIt) {
  expect_success({"prepare", "data.yaml", "--out", "own"});
  const auto program = training("under", "own");
  expect_success({"prepare", "data.yaml", "--out", "own", "--force"});
  expect_success({"prepare", "data.yaml", "--out", "own", "--force"});
  const std::string before = read(*work_ / "under/LATEST");
  EXPECT_TRUE(wait_for([&] { return read(*work_ / "under/LATEST") != before; }, [&] { return program->running(); }));
  expect_stops_whole(*program);
}

TEST_F(Locks, ASearchIsHeldToo) {
  const auto program = start({"search", "search.yaml", "--data", "data", "--out", "found", "--threads", "1"});
  EXPECT_TRUE(wait_for([&] { return fs::exists(*work_ / "found/config.yaml"); }, [&] { return program->running(); }));
  expect_refused({"search", "search.yaml", "--data", "data", "--out", "found", "--resume"}, "found");
  expect_refused(train("short.yaml", "found"), "found");
  EXPECT_TRUE(program->running());
}

TEST_F(Locks, OfTwoPreparationsOneIsRefusedAndTheOtherIsWhole) {
  expect_success({"synth", "criteo", "--rows", "300000", "--out", "criteo"});
  const auto first = start({"prepare", "criteo/data.yaml", "--out", "both"});
  EXPECT_TRUE(wait_for([&] { return is_locked(*work_ / ".both.partial"); }, [&] { return first->running(); }));
  first->send(SIGSTOP);  // so that it is there for as long as the second one takes to begin
  ASSERT_FALSE(fs::exists(*work_ / "both"));
  expect_refused({"prepare", "criteo/data.yaml", "--out", "both"}, "both");
  first->send(SIGCONT);
  EXPECT_EQ(first->wait().status, 0);
  expect_success({"prepare", "criteo/data.yaml", "--out", "alone"});
  EXPECT_EQ(run({"diff", "-r", "both", "alone"}, work_->path()).status, 0);
}

TEST_F(Locks, AFinishedRunHoldsNoLockFileAndReadsWhereNothingCanBeWritten) {
  expect_success(train("short.yaml", "short"));
  for (const auto& entry : fs::recursive_directory_iterator(*work_ / "short"))
    EXPECT_FALSE(entry.path().filename().string().starts_with(".")) << entry.path();
  const auto all = [&](fs::perms what, fs::perm_options how) {
    for (const char* directory : {"short", "data"}) {
      for (const auto& entry : fs::recursive_directory_iterator(*work_ / directory)) fs::permissions(entry, what, how);
      fs::permissions(*work_ / directory, what, how);
    }
  };
  const fs::perms write = fs::perms::owner_write | fs::perms::group_write | fs::perms::others_write;
  all(write, fs::perm_options::remove);
  expect_success({"eval", "short", "--data", "data"});
  expect_success({"inspect", "short"});
  all(fs::perms::owner_write, fs::perm_options::add);
}

}  // namespace
}  // namespace interplay::testing
