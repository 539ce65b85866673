// Whatever call of the system fails while a run is made: an error that names the place, and a run that goes on to the
// same end as if nothing had been.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <ATen/Parallel.h>

#include <interplay/base/files.h>
#include <interplay/base/log.h>
#include <interplay/base/progress.h>
#include <interplay/core/bundle.h>
#include <interplay/data/prepare.h>
#include <interplay/data/synth.h>
#include <interplay/train/run.h>

#include "support/failing_calls.h"
#include "support/error_of.h"
#include "support/temp_dir.h"

namespace fs = std::filesystem;

namespace interplay::testing::failing_disk_test {
namespace {

class FailingDisk : public ::testing::Test {
 protected:
  FailingDisk() {
    log::set_level(log::Level::off);
    Progress::enable(false);
    at::set_num_threads(1);
    SynthOptions options;
    options.shape = "planted", options.rows = 150, options.fields = 2, options.categories = 5, options.pairs = "0-1";
    synthesize(options, dir_ / "raw");
    prepare(Config::load(dir_ / "raw" / "data.yaml"), dir_ / "data");
  }
  ~FailingDisk() override { log::set_level(log::Level::info); }

  void train(const std::string& name) const {
    RunOptions options;
    options.data = dir_ / "data", options.out = dir_ / name;
    options.resume = fs::exists(dir_ / name / Bundle::kConfig);
    train_run(Config::parse("{model: {name: lr}, train: {epochs: 2, batch_size: 40, checkpoint_every: 2}, seed: 1}"),
              options);
  }
  std::string weights(const std::string& name) const { return read_file(dir_ / name / Bundle::kWeights); }

  const TempDir dir_;
};

TEST_F(FailingDisk, OfARunIsToldAndTheRunGoesOnToTheSameEnd) {
  train("whole");
  expect_every_failure_is_told(
      dir_ / "out", [&] { fs::remove_all(dir_ / "out"); }, [&] { train("out"); },
      [&](bool failed) {
        if (failed) {
          EXPECT_FALSE(fs::exists(dir_ / "out/manifest.json") && !Bundle::open(dir_ / "out").finished());
          if (!fs::exists(dir_ / "out/manifest.json")) train("out");
        }
        EXPECT_EQ(weights("out"), weights("whole"));
        EXPECT_TRUE(Bundle::open(dir_ / "out").finished());
        for (const auto& entry : fs::recursive_directory_iterator(dir_ / "out"))
          EXPECT_FALSE(entry.path().filename().string().starts_with(".")) << entry.path();
      },
      /*most=*/40);
}

TEST_F(FailingDisk, ARunThatIsBeingWrittenIsRefusedByName) {
  train("out");
  const DirectoryLock busy(dir_ / "out");
  EXPECT_THAT(config_error([&] { train("out"); }),
              ::testing::HasSubstr((dir_ / "out").string() + ": is being written by another process"));
  EXPECT_TRUE(Bundle::open(dir_ / "out").finished()) << "readers are not held up";
}

}  // namespace
}  // namespace interplay::testing::failing_disk_test
