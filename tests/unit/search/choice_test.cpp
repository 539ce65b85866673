#include "search/choice.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <interplay/base/files.h>
#include <interplay/base/log.h>
#include <interplay/base/progress.h>
#include <interplay/base/random.h>
#include <interplay/core/bundle.h>
#include <interplay/data/prepare.h>
#include <interplay/data/synth.h>
#include <interplay/search/search.h>

#include "search/gates.h"
#include "search/search_files.h"
#include "support/error_of.h"
#include "support/temp_dir.h"

namespace fs = std::filesystem;

namespace interplay::choice_test {
namespace {

using testing::config_error;
using testing::data_error;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Le;
using ::testing::SizeIs;
using Sets = std::set<std::vector<std::string>>;

TEST(TriedNumbers, AreAllOfAFewAndAnEighthApartOfMany) {
  EXPECT_THAT(tried_numbers(3), ElementsAre(0, 1, 2, 3));
  const auto many = tried_numbers(10000);
  EXPECT_EQ(many[32], 32);
  EXPECT_EQ(many[33], 36);
  EXPECT_EQ(many.back(), 10000);
  EXPECT_THAT(many, SizeIs(Le(90)));
}

TEST(CurveOf, ChoosesTheSmallestWithinOneStandardErrorOfTheDifference) {
  // Four rows. Less the losses at 3, which are the least: at 0 1 each; at 1 (.4, -.2, .4, -.2), so .1 with a standard
  // error of sqrt(4 * .09) / 4 = .15; at 2 (.3, .3, .2, .2), so .25 with sqrt(4 * .0025) / 4 = .025.
  const std::vector<float> least{1, 2, 3, 4};
  const auto more = [&](std::vector<float> by) {
    for (size_t i = 0; i < by.size(); ++i) by[i] += least[i];
    return by;
  };
  const auto curve =
      curve_of({0, 1, 2, 3}, {more({1, 1, 1, 1}), more({.4f, -.2f, .4f, -.2f}), more({.3f, .3f, .2f, .2f}), least});
  EXPECT_EQ(curve.best, 3);
  EXPECT_EQ(curve.chosen, 1);
  EXPECT_EQ(curve.rows, 4);
  EXPECT_NEAR(curve.points[0].above, 1, 1e-6);
  EXPECT_NEAR(curve.points[0].standard_error, 0, 1e-6);
  EXPECT_NEAR(curve.points[1].loss, 2.6, 1e-6);
  EXPECT_NEAR(curve.points[1].above, .1, 1e-6);
  EXPECT_NEAR(curve.points[1].standard_error, .15, 1e-6);
  EXPECT_NEAR(curve.points[2].standard_error, .025, 1e-6);
  EXPECT_EQ(curve.points[3].standard_error, 0);
}

TEST(CurveOf, CountsARowAsItsWeightSays) {
  // Weights 3 and 1: differences (1, -1) have the mean (3 - 1) / 4 = .5 and, off it by (.5, -1.5), the standard error
  // sqrt((3 * .5)^2 + 1.5^2) / 4.
  const auto curve = curve_of({0, 1}, {{2, 0}, {1, 1}}, {3, 1});
  EXPECT_EQ(curve.best, 1);
  EXPECT_NEAR(curve.points[0].above, .5, 1e-6);
  EXPECT_NEAR(curve.points[0].standard_error, std::sqrt(2 * 1.5 * 1.5) / 4, 1e-6);
}

TEST(CurveOf, OfEqualLossesKeepsNone) {
  const auto curve = curve_of({0, 1, 2}, {{1, 2}, {1, 2}, {1, 2}});
  EXPECT_EQ(curve.best, 0);
  EXPECT_EQ(curve.chosen, 0);
}

TEST(RowLosses, AreLogLossesTheMeanOverLabels) {
  Predictions rows;
  rows.labels = 2;
  rows.logit = {0, 100, -2, 1};
  rows.label = {1, 0, 0, 1};
  const auto losses = row_losses(rows);
  EXPECT_NEAR(losses[0], (std::log(2) + 100) / 2, 1e-5);
  EXPECT_NEAR(losses[1], (std::log1p(std::exp(-2.0)) + std::log1p(std::exp(-1.0))) / 2, 1e-6);
}

TEST(Recalibrate, GivesEachLogitTheOddsOfItsRows) {
  Predictions rows;  // of z = 0 one row in two is positive, of z = 1 three in four: log odds 0 and ln 3
  rows.logit = {0, 0, 1, 1, 1, 1};
  rows.label = {0, 1, 1, 1, 1, 0};
  recalibrate(rows);
  EXPECT_NEAR(rows.logit[0], 0, 1e-5);
  EXPECT_NEAR(rows.logit[2], std::log(3), 1e-5);
  rows.weight = {1, 1, 1, 1, 9, 1};  // z = 1: eleven to one
  recalibrate(rows);
  EXPECT_NEAR(rows.logit[1], 0, 1e-5);
  EXPECT_NEAR(rows.logit[5], std::log(11), 1e-5);
}

TEST(Recalibrate, OfLogitsThatAreFarOff) {
  Predictions rows;  // log odds -ln 3 and ln 3, whatever the scale and place of the logits
  rows.label = {1, 0, 0, 0, 1, 1, 1, 0};
  for (const auto& [low, high] :
       {std::pair{-1e4f, 2e4f}, {1e4f, 1.0001e4f}, {-3e-6f, -1e-6f}, {5e6f, 3e8f}, {-9e4f, -8e4f}}) {
    rows.logit = {low, low, low, low, high, high, high, high};
    recalibrate(rows);
    EXPECT_NEAR(rows.logit[0], -std::log(3), 1e-3) << low;
    EXPECT_NEAR(rows.logit[7], std::log(3), 1e-3) << low;
  }
  rows.logit = {2e4f, 2e4f, 2e4f, 2e4f, -1e4f, -1e4f, -1e4f, -1e4f};  // contrary: half the labels are positive
  recalibrate(rows);
  for (const float z : rows.logit) EXPECT_NEAR(z, 0, 1e-5);
  rows.label = {0, 0, 0, 0, 1, 1, 1, 1};  // told apart: the loss goes to 0 and stays a number
  rows.logit = {-4, -3, -2, -1, 1, 2, 3, 4e4f};
  recalibrate(rows);
  for (const float loss : row_losses(rows)) EXPECT_LT(loss, 1e-2);
}

TEST(Recalibrate, LeavesWhatItCannotFit) {
  Predictions alike, one_class;
  alike.logit = {2, 2, 2}, alike.label = {0, 1, 1};
  one_class.logit = {-1, 0, 3}, one_class.label = {0, 0, 0};
  const auto before = alike.logit;
  recalibrate(alike);
  recalibrate(one_class);
  EXPECT_EQ(alike.logit, before);
  for (const float z : one_class.logit) EXPECT_TRUE(std::isfinite(z));
}

class SearchByValid : public ::testing::Test {
 protected:
  SearchByValid() {
    Progress::enable(false);
    log::set_level(log::Level::error);
  }
  ~SearchByValid() override { log::set_level(log::Level::info); }

  struct Planted {
    int64_t rows = 8000, fields = 6, seed = 1;
    std::string pairs = "0-1,2-5", triples = {};
    double valid = 0.15;
  };
  void plant(const Planted& p) const {
    SynthOptions options;
    options.shape = "planted";
    options.rows = p.rows, options.fields = p.fields, options.categories = 6 * p.fields, options.seed = p.seed;
    options.pairs = p.pairs, options.triples = p.triples, options.valid = p.valid;
    synthesize(options, folder_ / "raw");
    prepare(Config::load(folder_ / "raw/data.yaml"), folder_ / "data");
  }
  SearchSummary search(const std::string& search, const std::string& model = "{name: fm, embedding_dim: 8}",
                       bool resume = false, const std::function<void(Trainer&)>& started = {}) const {
    Config config = Config::parse(
        "train: {epochs: 4, batch_size: 500}\nthreads: 1\nseed: 1\noptimizer:\n  embedding: {name: adam, lr: 1e-2}\n"
        "  dense: {name: adam, lr: 1e-2}\n");
    config.set("model", Config::parse(model));
    config.set("search", Config::parse(search));
    return search_run(config, {.data = folder_ / "data", .out = folder_ / "out", .resume = resume, .started = started});
  }
  static Sets kept(const SearchSummary& s) {
    Sets out;
    for (const auto& i : s.findings.interactions) {
      if (i.kept) out.insert(i.fields);
    }
    return out;
  }
  static void expect_planted(const SearchSummary& s, const Sets& planted) {
    const Sets found = kept(s);
    for (const auto& set : planted) EXPECT_TRUE(found.contains(set)) << fmt::format("{}", fmt::join(set, " x "));
    EXPECT_LE(found.size(), 3 * planted.size());
  }
  testing::TempDir folder_;
};

const Sets kPlanted{{"f0", "f1"}, {"f2", "f5"}};

TEST_F(SearchByValid, KeepsThePlantedPairs) {
  plant({});
  const SearchSummary s = search("{name: autofis}");
  expect_planted(s, kPlanted);
  EXPECT_GT(s.stages[1].steps, 4 * 13);  // longer than the experiment's epochs
  const Config searched = Config::load(folder_ / "out/stages/2-search/config.yaml");
  EXPECT_EQ(searched["train"]["keep"].as<std::string>(), "best");
  EXPECT_TRUE(searched["model"]["gate_centre"].as<bool>());
  EXPECT_FALSE(Config::load(folder_ / "out/retrain.yaml")["model"].has("gate_centre"));
  const auto curves = read_curves(folder_ / "out/stages/2-search/curves.json");
  ASSERT_THAT(curves, SizeIs(1));
  EXPECT_THAT(curves[0].points, SizeIs(16));
  EXPECT_EQ(curves[0].rows, 1200);
  EXPECT_EQ(size_t(curves[0].chosen), kept(s).size());
  const auto json = nlohmann::json::parse(read_file(folder_ / "out/search.json"));
  EXPECT_EQ(json["curves"][0]["stage"], "search");
  EXPECT_TRUE(json["grda"].empty());
}

TEST_F(SearchByValid, LeavesTheSearchModelAsItWasTrained) {
  plant({.rows = 2000});
  search("{name: autofis, base: false, retrain: false, epochs: 2}");
  // curves.json aside, the stage is what the same experiment makes as a run of its own.
  RunOptions again;
  again.data = folder_ / "data", again.out = folder_ / "again";
  train_run(Config::load(folder_ / "out/stages/1-search/config.yaml"), again);
  EXPECT_EQ(read_file(folder_ / "again/model.safetensors"),
            read_file(folder_ / "out/stages/1-search/model.safetensors"));
  const auto judged = [](const fs::path& run) {
    return nlohmann::json::parse(read_file(run / "summary.json"))["test"];
  };
  EXPECT_EQ(judged(folder_ / "again"), judged(folder_ / "out/stages/1-search"));
}

TEST_F(SearchByValid, StoppedAndResumedFindsTheSame) {
  plant({.rows = 2000});
  const auto whole = search("{name: autofis, base: false}");
  const std::string curves = read_file(folder_ / "out/stages/1-search/curves.json");
  const std::string weights = read_file(folder_ / "out/stages/2-retrain/model.safetensors");
  fs::remove_all(folder_ / "out");
  const auto stop = [](Trainer& trainer) {
    trainer.on_epoch([&trainer](const EpochReport& r) {
      if (r.epoch == 3) trainer.stop();
    });
  };
  EXPECT_THROW(search("{name: autofis, base: false}", "{name: fm, embedding_dim: 8}", false, stop), Error);
  EXPECT_FALSE(fs::exists(folder_ / "out/stages/1-search/curves.json"));
  EXPECT_EQ(kept(search("{name: autofis, base: false}", "{name: fm, embedding_dim: 8}", true)), kept(whole));
  EXPECT_EQ(read_file(folder_ / "out/stages/1-search/curves.json"), curves);
  EXPECT_EQ(read_file(folder_ / "out/stages/2-retrain/model.safetensors"), weights);
}

TEST_F(SearchByValid, KeepsNoneWhereAllAreUseless) {
  fs::create_directories(folder_ / "raw");
  for (const auto& [split, rows] : {std::pair{"train", 4000}, {"valid", 1000}, {"test", 1000}}) {
    std::ofstream file(folder_ / "raw" / fmt::format("{}.csv", split));
    file << "label,a,b,c\n";
    for (int r = 0; r < rows; ++r) {
      uint64_t draw = random_bits(7, uint64_t(rows), uint64_t(r));
      const auto next = [&](uint64_t n) { return std::exchange(draw, draw / n) % n; };
      const uint64_t a = next(4), b = next(4), c = next(4);
      file << (next(8) < a + b ? 1 : 0) << ',' << a << ',' << b << ',' << c << '\n';
    }
  }
  write_file(folder_ / "raw/data.yaml",
             "format: csv\nfiles: {train: train.csv, valid: valid.csv, test: test.csv}\nlabel: label\nfields:\n"
             "  - {columns: [a, b, c], kind: categorical}\n");
  prepare(Config::load(folder_ / "raw/data.yaml"), folder_ / "data");
  EXPECT_THAT(kept(search("{name: autofis, base: false}")), SizeIs(Le(1)));
}

TEST_F(SearchByValid, TrainsAModelThatKeepsNoInteraction) {
  plant({.rows = 1000});
  for (const char* model : {"fm", "deepfm", "ipnn"}) {
    Config config = Config::parse(fmt::format(
        "model: {{name: {}, gates: true, interactions: []}}\ntrain: {{epochs: 1, batch_size: 500}}\n", model));
    RunOptions run;
    run.data = folder_ / "data", run.out = folder_ / model;
    EXPECT_NO_THROW(train_run(config, run)) << model;
  }
}

TEST_F(SearchByValid, WeighsTriplesBesidePairs) {
  plant({.rows = 20000, .fields = 5, .pairs = "0-1:inner:2", .triples = "2-3-4:inner:2"});
  const auto s = search("{name: autofis, base: false, retrain: false}", "{name: fm, embedding_dim: 8, order: 3}");
  expect_planted(s, {{"f0", "f1"}, {"f2", "f3", "f4"}});
}

TEST_F(SearchByValid, OfAimFindsThePlantedPairsAndChoosesWidths) {
  plant({});
  const auto s = search("{name: aim, functions: [inner, outer], base: false}");
  expect_planted(s, kPlanted);
  const auto curves = read_curves(folder_ / "out/stages/3-dimensions/curves.json");
  ASSERT_THAT(curves, SizeIs(1));
  EXPECT_EQ(curves[0].gates, "dimensions");
  EXPECT_LT(curves[0].chosen, int64_t(curves[0].ranking.size()));
  std::vector<std::string> stages;
  for (const auto& stage : s.stages) stages.push_back(stage.name);
  EXPECT_THAT(stages, ElementsAre("search-2", "search-3", "dimensions", "retrain", "retrain_plain", "retrain_sets"));
  const auto least = std::min_element(s.stages.begin() + 3, s.stages.end(),
                                      [](const auto& a, const auto& b) { return a.valid_logloss < b.valid_logloss; });
  EXPECT_EQ(s.findings.result, least->directory);
  // the experiment's own model with each set once, under whichever functions it was kept
  const Config own = Config::load(folder_ / "out" / s.stages.back().directory / "config.yaml")["model"];
  EXPECT_EQ(own["name"].as<std::string>(), "fm");
  EXPECT_EQ(own["interactions"].items().size(), kept(s).size());
  EXPECT_FALSE(s.findings.widths.empty());
}

TEST_F(SearchByValid, RetrainsWithWhatTheModelCanBeGiven) {
  plant({.rows = 1000});
  const std::string aim = "{name: aim, functions: [inner], epochs: 1, orders: 2, dimensions: false, base: false, ";
  EXPECT_EQ(search(aim + "keep: 0.2, retrain_with: sets}").stages.size(), 2u);
  EXPECT_EQ(Config::load(folder_ / "out/retrain.yaml")["model"]["name"].as<std::string>(), "fm");
  fs::remove_all(folder_ / "out");
  EXPECT_THAT(
      config_error([&] { search(aim + "keep: 0.2, retrain_with: sets}", "{name: dnn}"); }),
      HasSubstr(
          "search.retrain_with: sets: the model 'dnn' cannot be given sets of fields; use gates or plain, or one of"));
}

TEST_F(SearchByValid, OfAimChoosesSetsThenWidthsOfOneStage) {
  plant({.rows = 4000});
  const auto s = search("{name: aim, orders: 2, functions: [inner], unified: true, base: false}");
  const auto curves = read_curves(folder_ / "out/stages/1-search-2/curves.json");
  ASSERT_THAT(curves, SizeIs(2));
  EXPECT_EQ(size_t(curves[0].chosen), kept(s).size());
  std::set<std::string> read;  // fields of kept pairs
  for (const auto& set : kept(s)) read.insert(set.begin(), set.end());
  EXPECT_THAT(curves[1].ranking, SizeIs(8 * read.size()));
}

TEST_F(SearchByValid, WhatIsGivenIsAsItAlwaysWas) {
  plant({.rows = 1000});
  for (const char* given : {"c: 1e-3", "mu: 0.7", "keep: 0.2", "top_k: 3"}) {
    search(fmt::format("{{name: autofis, base: false, retrain: false, {}}}", given));
    const Config searched = Config::load(folder_ / "out/stages/1-search/config.yaml");
    EXPECT_EQ(searched["train"]["epochs"].as<int64_t>(), 1) << given;
    EXPECT_EQ(searched["train"]["patience"].as<int64_t>(), 0) << given;
    EXPECT_FALSE(searched["model"]["gate_centre"].as<bool>()) << given;
    EXPECT_GT(searched["optimizer"]["gates"]["c"].as<double>(), 0) << given;
    EXPECT_FALSE(fs::exists(folder_ / "out/stages/1-search/curves.json")) << given;
    EXPECT_FALSE(nlohmann::json::parse(read_file(folder_ / "out/search.json")).contains("curves")) << given;
    fs::remove_all(folder_ / "out");
  }
}

TEST_F(SearchByValid, AsksForValidationRows) {
  plant({.rows = 1000, .valid = 0});
  EXPECT_THAT(data_error([&] { search("{name: autofis}"); }), HasSubstr("has no validation rows, which say how long"));
  EXPECT_THAT(data_error([&] { search("{name: aim}"); }), HasSubstr("has no validation rows, which say how long"));
  for (const char* given :
       {"{name: autofis, keep: 0.2, retrain_with: best}", "{name: aim, keep: 0.2, retrain_with: best}"}) {
    EXPECT_THAT(data_error([&] { search(given); }), HasSubstr("has no validation rows, which are to choose"));
  }
  EXPECT_FALSE(fs::exists(folder_ / "out"));
  EXPECT_NO_THROW(search("{name: autofis, keep: 0.2, base: false, retrain: false}"));
}

}  // namespace
}  // namespace interplay::choice_test
