// Runs whose files were cut or altered: a finished one is refused, naming the file; an unfinished one is refused or
// mended, but never goes on to another result.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <interplay/base/error.h>
#include <interplay/base/files.h>
#include <interplay/base/log.h>
#include <interplay/base/progress.h>
#include <interplay/core/bundle.h>
#include <interplay/data/prepare.h>
#include <interplay/data/synth.h>
#include <interplay/train/run.h>

#include "corrupt/alter.h"
#include "support/temp_dir.h"

namespace fs = std::filesystem;

namespace interplay::testing::run_test {
namespace {

using ::testing::AnyOf;
using ::testing::Contains;
using ::testing::HasSubstr;

class CorruptRun : public ::testing::Test {
 protected:
  CorruptRun() {
    log::set_level(log::Level::off);
    Progress::enable(false);
    at::set_num_threads(1);
    SynthOptions options;
    options.shape = "planted", options.rows = 400, options.fields = 3, options.categories = 9, options.pairs = "0-1";
    synthesize(options, dir_ / "raw");
    prepare(Config::load(dir_ / "raw" / "data.yaml"), data_);
    train("whole");
  }

  static Config experiment() {
    return Config::parse(R"(
model: {name: fm, embedding_dim: 2}
train: {epochs: 2, batch_size: 32, eval_every: 4, checkpoint_every: 3, patience: 0}
seed: 1
)");
  }

  /// Trains or goes on; ended after `stop_at` steps where that is not 0.
  void train(const std::string& name, bool resume = false, int64_t stop_at = 0) const {
    RunOptions options;
    options.data = data_, options.out = dir_ / name, options.resume = resume;
    options.started = [&](Trainer& trainer) {
      if (stop_at > 0)
        trainer.stepper().after_step(
            [&trainer, stop_at](const StepReport& s) { s.step == stop_at ? trainer.stop() : void(); });
    };
    try {
      train_run(experiment(), options);
    } catch (const Error& problem) {
      if (problem.kind() != ErrorKind::interrupted) throw;
    }
  }

  std::string weights(const std::string& name) const { return bytes_of(dir_ / name / Bundle::kWeights); }

  const TempDir dir_;
  const fs::path data_ = dir_ / "data";
};

TEST_F(CorruptRun, AFinishedOneIsRefusedWhereAFileWasCutOrAltered) {
  const fs::path run = dir_ / "whole";
  const auto bias = [&] { return weights_of(*Bundle::open(run).model()).at("linear.bias").item<float>(); };
  const float before = bias();
  // Grows after a run; hidden files and itself apart, the manifest vouches for all else.
  const std::string log = "train.log";
  const auto files = files_below(run);
  ASSERT_THAT(files, Contains(log));
  for (const auto& name : files) {
    const std::string bytes = bytes_of(run / name);
    const bool vouched = name != log;
    each_alteration(bytes, {}, [&](const std::string& what, const std::string& altered) {
      if (HasFailure()) return;
      put_bytes(run / name, altered);
      try {
        const bool same = bias() == before;
        EXPECT_TRUE(same && (!vouched || name == "manifest.json")) << name << " " << what << ": was opened";
      } catch (const Error& problem) {
        EXPECT_TRUE(vouched) << name << " " << what << ": " << problem.what();
        EXPECT_EQ(problem.kind(), ErrorKind::data) << name << " " << what;
        EXPECT_THAT(problem.what(), HasSubstr(name)) << what;
      } catch (const std::exception& problem) {
        ADD_FAILURE() << name << " " << what << ": not an Error: " << problem.what();
      }
    });
    fs::remove(run / name);
    if (!vouched || name == "manifest.json") {  // without one a run counts as unfinished
      EXPECT_EQ(Bundle::open(run).finished(), name == log);
      EXPECT_EQ(bias(), before);
    } else {
      EXPECT_THAT([&] { bias(); }, ::testing::ThrowsMessage<Error>(HasSubstr(name)));
    }
    put_bytes(run / name, bytes);
  }
  EXPECT_EQ(bias(), before);
}

TEST_F(CorruptRun, AnUnfinishedOneIsRefusedOrEndsTheSame) {
  train("stopped", false, 8);
  const auto files = files_below(dir_ / "stopped");
  ASSERT_THAT(files, Contains("checkpoint-8/state.json"));
  int refused = 0, ended = 0;
  const auto resume = [&](const std::string& name, const std::string& what) {
    try {
      train("again", true);
      EXPECT_TRUE(weights("again") == weights("whole")) << name << " " << what << ": ended with other weights";
      EXPECT_NO_THROW(Bundle::open(dir_ / "again")) << name << " " << what;
      ++ended;
    } catch (const Error& problem) {
      // A config.yaml may have been edited by its owner, who is told so.
      EXPECT_TRUE(problem.kind() == ErrorKind::data || name == "config.yaml") << name << " " << what << problem.what();
      EXPECT_THAT(problem.what(), HasSubstr(fs::path(name).filename().string())) << name << " " << what;
      ++refused;
    } catch (const std::exception& problem) {
      ADD_FAILURE() << name << " " << what << ": not an Error: " << problem.what();
    }
  };
  const auto copy = [&] {
    fs::remove_all(dir_ / "again");
    fs::copy(dir_ / "stopped", dir_ / "again", fs::copy_options::recursive);
  };
  for (const auto& name : files) {
    const std::string bytes = bytes_of(dir_ / "stopped" / name);
    each_alteration(bytes, {.every_below = 0, .cuts = 3, .flips = 6},
                    [&](const std::string& what, const std::string& altered) {
                      if (HasFailure()) return;
                      copy();
                      put_bytes(dir_ / "again" / name, altered);
                      resume(name, what);
                    });
    copy();
    fs::remove(dir_ / "again" / name);
    // Without config.yaml there is no run; whatever else is gone is missed, or made anew from the data.
    if (name != "config.yaml") resume(name, "removed");
  }
  EXPECT_GT(refused, 40);
  EXPECT_GT(ended, 10);  // vocabularies, schema and metrics are written anew from what is known to be whole
}

TEST_F(CorruptRun, AStateThatIsNoneIsRefused) {
  train("stopped", false, 8);
  const fs::path checkpoint = dir_ / "stopped" / "checkpoint-8";
  for (const char* state :
       {"", "5", "{}", "[]", "{\"step\": \"eight\"}", "{\"step\": 8}", "{\"step\": 8, \"epoch\": {}}"}) {
    put_bytes(checkpoint / "state.json", state);
    Manifest::describe(checkpoint).save(checkpoint);
    try {
      train("stopped", true);
      ADD_FAILURE() << state << ": was believed";
    } catch (const Error& problem) {
      EXPECT_EQ(problem.kind(), ErrorKind::data) << state;
      EXPECT_THAT(problem.what(), HasSubstr("state.json")) << state;
    }
  }
}

}  // namespace
}  // namespace interplay::testing::run_test
