// The program on damaged directories: status 3 and the file's name, whatever the subcommand. What every byte of every
// file does is tried without the program, in the other tests here.
#include <array>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "corrupt/alter.h"
#include "support/program.h"
#include "support/temp_dir.h"

namespace fs = std::filesystem;

namespace interplay::testing {
namespace {

using ::testing::HasSubstr;

class Damaged : public ::testing::Test {
 protected:
  Damaged() {
    dir_.write("fm.yaml",
               "model: {name: fm, embedding_dim: 2}\n"
               "train: {epochs: 2, batch_size: 64, checkpoint_every: 3, patience: 0}\n");
    expect_success("synth planted --rows 1000 --fields 3 --categories 9 --pairs 0-1 --out raw");
    expect_success("prepare raw/data.yaml --out data");
  }

  Finished interplay(const std::string& words) const {
    return run({"/bin/sh", "-c", fmt::format("exec '{}' {} --threads 1", INTERPLAY_PROGRAM, words)}, dir_.path());
  }
  void expect_success(const std::string& words) const {
    const Finished done = interplay(words);
    ASSERT_EQ(done.status, 0) << words << "\n" << done.err;
  }

  enum Damage { cut, altered, removed };

  /// Damages a file of `directory`, runs the program on it, and mends it.
  void expect_refused(const std::string& directory, const std::string& name, Damage damage,
                      const std::string& words) const {
    const fs::path file = dir_.path() / directory / name;
    const std::string bytes = bytes_of(file);
    std::string other = damage == cut ? bytes.substr(0, bytes.size() / 2) : bytes;
    if (damage == altered) other[bytes.size() / 3] = char(other[bytes.size() / 3] ^ 0x10);
    put_bytes(file, other);
    if (damage == removed) fs::remove(file);
    const Finished done = interplay(words);
    EXPECT_EQ(done.status, 3) << name << ", damage " << damage << "\n" << done.out << done.err;
    EXPECT_THAT(done.err, HasSubstr(fs::path(name).filename().string())) << name << ", damage " << damage;
    put_bytes(file, bytes);
  }

  const TempDir dir_;
};

TEST_F(Damaged, PreparedData) {
  for (const auto& name : files_below(dir_ / "data")) {
    for (const Damage damage : {cut, altered, removed}) expect_refused("data", name, damage, "inspect data");
  }
  // Each subcommand by itself: none trusts another to have looked.
  expect_refused("data", "vocabulary/f1.parquet", altered, "train fm.yaml --data data --out run");
  EXPECT_FALSE(fs::exists(dir_ / "run"));
  expect_refused("data", "train-00000.arrow", altered, "train fm.yaml --data data --out run");
}

TEST_F(Damaged, FinishedRuns) {
  expect_success("train fm.yaml --data data --out run");
  int next = 0;  // each manner of damage to a third of the files
  for (const auto& name : files_below(dir_ / "run")) {
    if (name != "train.log" && name != "manifest.json")
      expect_refused("run", name, std::array{cut, altered, removed}[size_t(next++) % 3], "inspect run");
  }
  expect_refused("run", "manifest.json", cut, "inspect run");
  expect_refused("run", "model.safetensors", altered, "eval run");
  expect_refused("data", "test-00000.arrow", altered, "eval run");
  expect_refused("run", "vocabulary/f0.parquet", altered, "predict run raw/test.csv --out scores.csv");
  EXPECT_FALSE(fs::exists(dir_ / "scores.csv"));
  expect_refused("run", "model.safetensors", altered, "train fm.yaml --data data --out run --resume");
  expect_success("inspect run");
}

TEST_F(Damaged, UnfinishedRuns) {
  // Finished, but for the manifest that says so: training ends at once, and what is tried is how it begins.
  expect_success("train fm.yaml --data data --out run");
  fs::remove(dir_ / "run" / "manifest.json");
  std::string latest = bytes_of(dir_ / "run" / "LATEST");
  latest.pop_back();
  const std::string resume = "train fm.yaml --data data --out run --resume";
  for (const Damage damage : {cut, altered, removed}) {
    expect_refused("run", latest + "/optimizer.safetensors", damage, resume);
    expect_refused("run", "model.safetensors", damage, resume);
  }
  expect_refused("run", latest + "/manifest.json", cut, resume);
  expect_refused("run", latest + "/model.safetensors", altered, resume);
  expect_refused("run", latest + "/state.json", removed, resume);
  expect_refused("run", "LATEST", cut, resume);
  const std::string weights = bytes_of(dir_ / "run" / "model.safetensors");
  expect_success(resume);
  EXPECT_TRUE(bytes_of(dir_ / "run" / "model.safetensors") == weights);
}

}  // namespace
}  // namespace interplay::testing
