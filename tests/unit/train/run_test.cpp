#include <interplay/train/run.h>

#include <cstdlib>
#include <vector>

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <interplay/base/files.h>
#include <interplay/base/log.h>
#include <interplay/base/progress.h>
#include <interplay/core/bundle.h>
#include <interplay/core/calibration.h>
#include <interplay/data/prepare.h>
#include <interplay/data/synth.h>
#include <interplay/serve/scorer.h>
#include <interplay/train/evaluator.h>

#include "support/error_of.h"
#include "support/temp_dir.h"

namespace fs = std::filesystem;

namespace interplay::run_test {
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

std::map<std::string, std::string> files_of(const fs::path& directory) {
  std::map<std::string, std::string> out;
  for (const auto& entry : fs::recursive_directory_iterator(directory)) {
    if (entry.is_regular_file()) out[entry.path().string()] = read_file(entry.path());
  }
  return out;
}

TEST_F(Run, IsWithoutItsCalibrationWhatItWas) {
  train("run");
  const fs::path run = dir_ / "run";
  const auto before = files_of(run);
  const Bundle bundle = Bundle::open(run);
  const auto own = predict(*bundle.model(), Dataset::open(dir_ / "data", "train").select(bundle.schema()));
  const auto calibration = Calibration::fit(own, {}, bundle.schema(), {.split = "train"});
  calibration.save(run, "<html>");
  EXPECT_NE(Bundle::open(run).calibration(), nullptr);
  EXPECT_TRUE(Calibration::remove(run));
  EXPECT_EQ(files_of(run), before);
  calibration.save(run);
  train_run(Config::load(run / Bundle::kConfig), {.data = dir_ / "data", .out = run, .resume = true});
  EXPECT_EQ(Bundle::open(run).calibration(), nullptr);  // what goes on ends with other weights
  EXPECT_FALSE(fs::exists(run / Calibration::kFile));
  EXPECT_EQ(read_file(run / Bundle::kWeights), before.at((run / Bundle::kWeights).string()));
}

TEST(PeakMemory, IsNotThatOfWhoStartedTheProcess) {
  const char* const most = std::getenv("INTERPLAY_TEST_MOST");
  if (most != nullptr) {
    EXPECT_GT(peak_memory_bytes(), 1 << 20);
    EXPECT_LT(peak_memory_bytes(), std::strtoll(most, nullptr, 10));
    return;
  }
  constexpr size_t kBytes = 512 << 20;
  const int64_t before = peak_memory_bytes();
  const std::vector<char> large(kBytes, 'x');
  EXPECT_GE(peak_memory_bytes(), int64_t(kBytes));
  ::setenv("INTERPLAY_TEST_MOST", std::to_string(before + int64_t(kBytes) / 2).c_str(), 1);
  const int status = std::system(
      fmt::format("exec {} --gtest_filter=PeakMemory.* > /dev/null", fs::read_symlink("/proc/self/exe").string())
          .c_str());
  ::unsetenv("INTERPLAY_TEST_MOST");
  EXPECT_EQ(status, 0);
}

/// A logit that other rows of the batch move by `by`. For tests.
class Nudged final : public Model {
 public:
  struct Options {
    double by = 0;
    void visit(auto&& field) { field("by", by, "how far a logit is moved by each other row"); }
  };
  Nudged(const Schema&, const Options& options) : by_(options.by), bias_(at::zeros({1})) {
    register_parameter("bias", bias_);
  }
  Output forward(const Features& x) override { return (bias_ + by_ * double(x.rows - 1)).expand({x.rows}); }

 private:
  double by_;
  at::Tensor bias_;
};

TEST_F(Run, RefusesRowsThatScoreByTheOthersBeyondWhatTheirPrecisionRounds) {
  INTERPLAY_REGISTER_MODEL("test_nudged", Nudged, "for tests: a logit that other rows move");
  const auto run = [&](const std::string& precision, double by) {
    train_run(Config::parse(fmt::format("{{model: {{name: test_nudged, by: {}}}, train: {{epochs: 1, precision: {}}}, "
                                        "seed: 5, threads: 1}}",
                                        by / 63, precision)),
              {.data = dir_ / "data", .out = dir_ / fmt::format("{}-{}", precision, by)});
  };
  // .004 is what a language model of 30 layers was seen to differ by; bf16 numbers beside 1 are 2^-8 = .0039 apart.
  run("bf16", .004);
  EXPECT_THAT(testing::config_error([&] { run("fp32", .004); }),
              ::testing::HasSubstr("scores a row differently alone"));
  EXPECT_THAT(testing::config_error([&] { run("bf16", .1); }), ::testing::HasSubstr("scores a row differently alone"));
}

}  // namespace
}  // namespace interplay::run_test
