// The program with plugins of every kind, from raw rows to an evaluation.
#include <cmath>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <interplay/base/error.h>
#include <interplay/base/files.h>

#include "support/program.h"
#include "support/temp_dir.h"

namespace interplay {
namespace {

using ::testing::HasSubstr;
using Json = nlohmann::json;

class PluginProgram : public ::testing::Test {
 protected:
  PluginProgram() {
    dir_.write("rows.txt", "click=1 colour=red\nclick=1 colour=blue\nclick=0 colour=red\nclick=1 colour=red\n");
    dir_.write("data.yaml",
               "format: {name: test_pairs}\nfiles: {train: rows.txt, valid: rows.txt}\nlabel: click\n"
               "fields: [{column: colour}]\n");
  }

  testing::Finished run(std::vector<std::string> words) const {
    std::vector<std::string> all{INTERPLAY_PROGRAM, "--threads", "1"};
    for (const char* plugin :
         {TEST_PLUGIN_GOOD, TEST_PLUGIN_LOSS, TEST_PLUGIN_METRIC, TEST_PLUGIN_RULE, TEST_PLUGIN_READER})
      all.insert(all.end(), {"--plugin", plugin});
    all.insert(all.end(), words.begin(), words.end());
    const auto finished = testing::run(all, dir_.path());
    EXPECT_EQ(finished.status, 0) << finished.err;
    return finished;
  }
  Json train(const std::string& experiment, const std::string& out) const {
    dir_.write("experiment.yaml", experiment);
    run({"train", "experiment.yaml", "--data", "data", "--out", out});
    return Json::parse(read_file(dir_.path() / out / "summary.json"));
  }

  testing::TempDir dir_;
};

// By hand. A logit of 0, three of four rows clicked: the hinge loss has the gradient -(3 - 1) / 4, Lion moves the logit
// by lr = 1/8 against its sign. With p = 1 / (1 + exp(-1/8)) Brier is (3 (1 - p)^2 + p^2) / 4.
TEST_F(PluginProgram, ReaderLossRuleAndMetricOfPluginsServeTheProgram) {
  run({"prepare", "data.yaml", "--out", "data"});
  const Json summary = train(
      "model: {name: test_constant, start: 0}\n"
      "train: {epochs: 1, batch_size: 4, loss: test_hinge, metrics: [test_brier], monitor: test_brier}\n"
      "optimizer: {dense: {name: test_lion, lr: 0.125}}\n",
      "run");
  const double p = 1 / (1 + std::exp(-0.125)), brier = (3 * (1 - p) * (1 - p) + p * p) / 4;
  EXPECT_EQ(summary["steps"], 1);
  const Json epoch = Json::parse(read_file(dir_.path() / "run/metrics.jsonl"));
  EXPECT_EQ(epoch["train_loss"], 1);  // 1 - y 0 in every row
  EXPECT_NEAR(epoch["valid"]["test_brier"].get<double>(), brier, 1e-6);
  const auto shown = run({"eval", "run", "--split", "valid", "--metrics", "test_brier"});
  EXPECT_THAT(shown.out, HasSubstr(fmt::format("Brier: {:.6f}", brier)));
}

// The least that a rule can say does what a rule of the tree does: embedding rows lazily and all of them, with
// penalties.
TEST_F(PluginProgram, ARuleOfTwoFunctionsTrainsAsSgd) {
  run({"prepare", "data.yaml", "--out", "data"});
  for (const std::string mode : {"lazy", "dense"}) {
    const auto train_by = [&](const std::string& rule) {
      return train(fmt::format("model: {{name: fm, embedding_dim: 3, init_std: 0.1}}\n"
                               "train: {{epochs: 6, batch_size: 1, patience: 0, metrics: [logloss], monitor: logloss, "
                               "keep: last}}\n"
                               "optimizer: {{dense: {{name: {}, lr: 0.1, l2: 0.1, mode: {}}}}}\n",
                               rule, mode),
                   rule + mode)["valid"]["logloss"]
          .get<double>();
    };
    EXPECT_NEAR(train_by("test_plain"), train_by("sgd"), 1e-6) << mode;  // steps of penalties alone round otherwise
  }
}

}  // namespace
}  // namespace interplay
