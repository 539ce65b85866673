#include <interplay/train/tracker.h>

#include <stdexcept>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <interplay/base/files.h>
#include <interplay/base/log.h>
#include <interplay/base/progress.h>
#include <interplay/data/prepare.h>
#include <interplay/data/synth.h>
#include <interplay/train/run.h>

#include "support/error_of.h"
#include "support/temp_dir.h"

namespace fs = std::filesystem;

namespace interplay::tracking_test {
namespace {

using testing::config_error;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pair;

/// Keeps what it is told, for tests of one thread.
class Listener final : public Tracker {
 public:
  struct Options {
    std::string mark = "-";
    int64_t number = 3;
    void visit(auto&& field) {
      field("mark", mark, "before each line");
      field("number", number, "no use");
    }
  };
  explicit Listener(const Options& options) : options_(options) {}
  void begin(const TrackedRun& run) override {
    heard.push_back(fmt::format("{} begin {} at {}, {} before", options_.mark, run.resumed ? "again" : "anew", run.step,
                                run.records.size()));
    EXPECT_EQ(run.config["tracking"]["listener"]["number"].as<int64_t>(), 3);
    EXPECT_TRUE(fs::exists(run.directory / "config.yaml"));
  }
  void record(const EpochReport& report) override { heard.push_back(fmt::format("step {}", report.step)); }
  void end(RunEnd how, const RunSummary* summary) override {
    heard.push_back(how == RunEnd::finished      ? fmt::format("finished, {} of test", summary->test.size())
                    : how == RunEnd::interrupted ? "interrupted"
                                                 : "failed");
  }

  static std::vector<std::string> heard;

 private:
  const Options options_;
};
std::vector<std::string> Listener::heard;
INTERPLAY_REGISTER(trackers(), "listener", Listener, "of a test");

class TrackedTraining : public ::testing::Test {
 protected:
  TrackedTraining() {
    log::set_level(log::Level::off);
    Progress::enable(false);
    Listener::heard.clear();
    SynthOptions options;
    options.shape = "planted", options.rows = 250, options.fields = 2, options.categories = 5, options.pairs = "0-1";
    synthesize(options, dir_ / "raw");
    prepare(Config::load(dir_ / "raw" / "data.yaml"), dir_ / "data");
    rows_ = Dataset::open(dir_ / "data", "train").rows();
  }
  ~TrackedTraining() override { log::set_level(log::Level::info); }

  /// With a step an epoch.
  RunOptions run() const { return {.data = dir_ / "data", .out = dir_ / "run", .test = false}; }
  Config experiment(int64_t epochs, const std::string& tracking) const {
    return Config::parse(fmt::format("{{model: lr, train: {{epochs: {}, batch_size: {}, patience: 0}}, tracking: {}}}",
                                     epochs, rows_, tracking));
  }
  std::vector<std::string> event_files() const {
    std::vector<std::string> out;
    for (const auto& entry : fs::directory_iterator(dir_ / "run")) {
      if (entry.path().filename().string().find("tfevents") != std::string::npos) out.push_back(entry.path());
    }
    return out;
  }

  const testing::TempDir dir_;
  int64_t rows_ = 0;
};

TEST_F(TrackedTraining, IsToldFromBeginToEnd) {
  train_run(experiment(2, "{listener: {mark: +}}"), run());
  EXPECT_THAT(Listener::heard, ElementsAre("+ begin anew at 0, 0 before", "step 1", "step 2", "finished, 0 of test"));
}

TEST_F(TrackedTraining, GoesOnWhereItWasInterruptedWithWhatWasMeasuredBefore) {
  RunOptions stopped = run();
  stopped.started = [](Trainer& trainer) { trainer.on_epoch([&trainer](const EpochReport&) { trainer.stop(); }); };
  EXPECT_THROW(train_run(experiment(3, "{listener: ~}"), stopped), Error);
  EXPECT_THAT(Listener::heard, ElementsAre("- begin anew at 0, 0 before", "step 1", "interrupted"));
  Listener::heard.clear();
  RunOptions again = run();
  again.resume = true;
  train_run(experiment(3, "{listener: {mark: again}}"), again);  // what is tracked may change
  EXPECT_THAT(Listener::heard,
              ElementsAre("again begin again at 1, 1 before", "step 2", "step 3", "finished, 0 of test"));
}

TEST_F(TrackedTraining, IsToldOfFailure) {
  RunOptions failing = run();
  failing.started = [](Trainer& trainer) {
    trainer.stepper().after_step([](const StepReport&) { throw std::runtime_error("a fault"); });
  };
  EXPECT_THROW(train_run(experiment(1, "{listener: {}}"), failing), std::runtime_error);
  EXPECT_THAT(Listener::heard, ElementsAre("- begin anew at 0, 0 before", "failed"));
}

TEST_F(TrackedTraining, WritesAnEventFileEachTimeAndNoneIntoTheManifest) {
  train_run(experiment(1, "{tensorboard: {}}"), run());
  EXPECT_EQ(event_files().size(), 1u);
  RunOptions again = run();
  again.resume = true;
  train_run(experiment(2, "{tensorboard: {}}"), again);
  const auto files = event_files();
  EXPECT_EQ(files.size(), 2u);
  for (const auto& file : files) {
    EXPECT_EQ(Manifest::load(dir_ / "run").find(fs::path(file).filename().string()), nullptr);
    fs::remove(file);
  }
  Manifest::load(dir_ / "run").check(dir_ / "run", /*contents=*/true);
}

TEST(Tracking, NamesWhatThereIs) {
  const auto resolved = [](const char* yaml) { return resolve_tracking(Config::parse(yaml)); };
  EXPECT_EQ(resolved("{listener: {number: 5}, tensorboard: }"),
            Config::parse("{listener: {mark: '-', number: 5}, tensorboard: {}}"));
  EXPECT_EQ(resolved("{listener: x}"), Config::parse("{listener: {mark: x, number: 3}}"));
  EXPECT_THAT(config_error([&] { resolved("{tensorbord: {}}"); }), HasSubstr("did you mean 'tensorboard'?"));
  EXPECT_THAT(config_error([&] { resolved("{listener: {numbr: 1}}"); }), HasSubstr("number"));
  EXPECT_THAT(config_error([&] { resolved("{listener: {name: x}}"); }), HasSubstr("no option of a tracker"));
  EXPECT_THAT(config_error([&] { resolved("{tensorboard: runs}"); }), HasSubstr("tensorboard has no options"));
  EXPECT_THAT(config_error([&] { resolved("[tensorboard]"); }), HasSubstr("expected a map"));
}

TEST(TrackedValues, AreFiniteAndGoByTheirSplit) {
  EpochReport report;
  report.train_loss = .5, report.lr = .25, report.rows_per_s = 8;
  report.terms = {{"icl", 2}};
  report.metrics = {{.name = "auc", .value = .75}, {.name = "gauc"}};
  EXPECT_THAT(tracked_values(report),
              ElementsAre(Pair("train/loss", .5), Pair("train/lr", .25), Pair("train/rows_per_s", 8),
                          Pair("train/terms/icl", 2), Pair("valid/auc", .75)));
  RunSummary summary;
  summary.valid = {{.name = "auc", .value = .75}}, summary.test = {{.name = "auc", .value = .625}};
  EXPECT_THAT(tracked_values(summary), ElementsAre(Pair("best/valid/auc", .75), Pair("best/test/auc", .625)));
}

}  // namespace
}  // namespace interplay::tracking_test
