#include <interplay/train/run.h>

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include <interplay/base/files.h>
#include <interplay/base/log.h>
#include <interplay/base/progress.h>
#include <interplay/core/bundle.h>
#include <interplay/data/prepare.h>
#include <interplay/data/synth.h>
#include <interplay/serve/scorer.h>

#include "support/temp_dir.h"

namespace fs = std::filesystem;

namespace interplay {
namespace {

class Run : public ::testing::Test {
 protected:
  Run() {
    log::set_level(log::Level::off);
    Progress::enable(false);
    SynthOptions options;
    options.shape = "planted", options.rows = 150, options.fields = 2, options.categories = 5, options.pairs = "0-1";
    synthesize(options, dir_ / "raw");
    prepare(Config::load(dir_ / "raw" / "data.yaml"), dir_ / "data");
  }
  ~Run() override { log::set_level(log::Level::info); }

  void train(const std::string& name) const {
    train_run(Config::parse("{model: {name: dnn, hidden: [4], dropout: 0.5}, train: {epochs: 1, batch_size: 40}, seed: "
                            "5, threads: 1}"),
              {.data = dir_ / "data", .out = dir_ / name});
  }

  const testing::TempDir dir_;
};

TEST_F(Run, LeavesTheProcessAsItWas) {
  const int before = at::get_num_threads();
  at::set_num_threads(2);
  at::manual_seed(9);
  const auto expected = at::rand({4});
  at::manual_seed(9);
  train("run");
  EXPECT_EQ(at::get_num_threads(), 2);
  EXPECT_TRUE(at::equal(at::rand({4}), expected));
  at::manual_seed(9);
  Scorer::load(dir_ / "run");
  Bundle::open(dir_ / "run").model();
  EXPECT_TRUE(at::equal(at::rand({4}), expected));
  at::set_num_threads(before);
}

TEST_F(Run, DrawsTheSameWhateverWasDrawnBefore) {
  train("one");
  at::rand({3});
  train("two");
  EXPECT_EQ(read_file(dir_ / "one" / Bundle::kWeights), read_file(dir_ / "two" / Bundle::kWeights));
}

}  // namespace
}  // namespace interplay
