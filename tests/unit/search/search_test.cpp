#include <interplay/search/search.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <interplay/base/files.h>
#include <interplay/base/log.h>
#include <interplay/base/progress.h>

#include "search/gates.h"
#include "search/search_files.h"
#include "support/error_of.h"
#include "support/temp_dir.h"
#include "support/toy_rows.h"

namespace fs = std::filesystem;

namespace interplay::search_test {
namespace {

using Json = nlohmann::ordered_json;
using testing::config_error;
using testing::data_error;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

int steps_taken = 0;  // by the stages of every search

/// Two stages of the experiment as it is; the first one reads a gate that is a tenth of the steps done.
class TwoStages final : public Search {
 public:
  struct Options {
    int64_t width = 4;
    void visit(auto&& field) { field("width", width, "that it finds"); }
  };
  explicit TwoStages(const Options& options) : options_(options) {}
  void run(SearchRun& run) override {
    SearchStage first{.name = "first", .experiment = run.experiment()};
    first.read_gates = [](Trainer& trainer) {
      return GateReading{{"a x b", "a x c"}, {0.1 * double(trainer.optimizer().steps()), 0.25}, 0.5};
    };
    first.finished = [](Trainer& trainer) { steps_taken += int(trainer.optimizer().steps()); };
    run.stage(first);
    SearchFindings findings;
    findings.interactions = {{.fields = {"a", "b"}, .gate = 0.1, .kept = true},
                             {.fields = {"a", "c"}, .gate = 0, .kept = false}};
    findings.widths = {{"a", options_.width}};
    findings.retrain = run.experiment();
    run.found(findings);
    run.stage({.name = "second", .experiment = run.experiment()});
  }

 private:
  Options options_;
};
INTERPLAY_REGISTER(searches(), "two_stages", TwoStages, "for this test");

class SearchTest : public ::testing::Test {
 protected:
  SearchTest() {
    Progress::enable(false);
    log::set_level(log::Level::warning);
    const Schema schema = testing::toy_schema();
    fs::create_directories(folder_ / "data");
    schema.save(folder_ / "data/schema.yaml");
    std::vector<Manifest::Entry> entries;
    for (const char* split : {"train", "valid"}) {
      DatasetWriter writer(folder_ / "data", split, schema, /*weight=*/false, /*group=*/false, /*time=*/false);
      writer.write(testing::toy_rows(0, 40, /*side_columns=*/false));
      writer.finish();
      for (const auto& entry : writer.entries()) entries.push_back(entry);
    }
    Manifest::describe(folder_ / "data", entries).save(folder_ / "data");
    steps_taken = 0;
  }
  ~SearchTest() override { log::set_level(log::Level::info); }

  static Config experiment(const std::string& search) {
    Config config = Config::parse(
        "model: {name: lr}\nfields: {labels: [click]}\ntrain: {epochs: 1, batch_size: 8}\nseed: 1\nthreads: 1\n");
    config.set("search", Config::parse(search));
    return config;
  }
  SearchSummary search(const std::string& search = "{name: two_stages}", bool resume = false) {
    return search_run(experiment(search), {.data = folder_ / "data", .out = out(), .resume = resume});
  }
  fs::path out() const { return folder_ / "out"; }
  Json json(const std::string& file) const { return Json::parse(read_file(out() / file)); }

  testing::TempDir folder_;
};

TEST_F(SearchTest, KeepsARunAStageAndWhatWasFound) {
  const SearchSummary s = search();
  ASSERT_EQ(s.stages.size(), 2u);
  EXPECT_EQ(s.stages[0].directory, "stages/1-first");
  EXPECT_EQ(s.stages[1].directory, "stages/2-second");
  EXPECT_EQ(s.stages[0].steps, 5);  // 40 rows in batches of 8
  EXPECT_EQ(s.stages[0].split, "valid");
  EXPECT_EQ(s.stages[0].bytes, int64_t(fs::file_size(out() / "stages/1-first/model.safetensors")));
  const Json found = json("search.json");
  EXPECT_EQ(found["search"], "two_stages");
  EXPECT_EQ(found["interactions"][0]["fields"], Json({"a", "b"}));
  EXPECT_EQ(found["interactions"][0]["order"], 2);
  EXPECT_EQ(found["interactions"][0]["function"], "inner");
  EXPECT_EQ(found["interactions"][1]["kept"], false);
  EXPECT_EQ(found["widths"], Json({{"a", 4}}));
  EXPECT_EQ(found["stages"][1]["name"], "second");
  EXPECT_EQ(found["stages"][1]["parameters"], s.stages[1].parameters);
  EXPECT_TRUE(found["grda"].empty());
  EXPECT_EQ(Config::load(out() / "retrain.yaml")["model"]["name"].as<std::string>(), "lr");
  EXPECT_EQ(Config::load(out() / "config.yaml")["search"]["width"].as<int64_t>(), 4);
  for (const char* stage : {"1-first", "2-second"})
    EXPECT_THAT(read_file(out() / "search.log"), HasSubstr("stage " + std::string(stage).substr(2)));
  Manifest::load(out()).check(out(), /*contents=*/true);
}

TEST_F(SearchTest, TheBaseOfAutoFisHasNoGatesForAnOptimizerToMove) {
  Config config = experiment("{name: autofis, keep: 0.5}");
  config.set("model", Config::parse("{name: fm, embedding_dim: 4}"));
  config.set("optimizer", Config::parse("{gates: {name: adam, lr: 1e-2}}"));
  const SearchSummary s = search_run(config, {.data = folder_ / "data", .out = out()});
  ASSERT_EQ(s.stages.size(), 3u);
  EXPECT_FALSE(Config::load(out() / s.stages[0].directory / "config.yaml")["optimizer"].has("gates"));
  EXPECT_EQ(Config::load(out() / s.stages[2].directory / "config.yaml")["optimizer"]["gates"]["name"].as<std::string>(),
            "adam");
}

TEST_F(SearchTest, ReadsGatesBeforeTheFirstStepAndAfterEach) {
  search();
  const GateCourse course = read_course(out() / "stages/1-first/gates.jsonl");
  EXPECT_THAT(course.names, ElementsAre("a x b", "a x c"));
  EXPECT_THAT(course.steps, ElementsAre(0, 1, 2, 3, 4, 5));
  EXPECT_THAT(course.thresholds, ElementsAre(0.5, 0.5, 0.5, 0.5, 0.5, 0.5));
  EXPECT_THAT(course.values[3], ElementsAre(0.3, 0.25));
}

TEST_F(SearchTest, ResumedItRunsOnlyWhatIsNotFinished) {
  search();
  const std::string whole = read_file(out() / "search.json");
  EXPECT_EQ(steps_taken, 5);
  search("{name: two_stages}", /*resume=*/true);
  EXPECT_EQ(steps_taken, 5);
  EXPECT_EQ(read_file(out() / "search.json"), whole);
  fs::remove(out() / "stages/1-first/manifest.json");  // as if it had been killed before its last word
  search("{name: two_stages}", /*resume=*/true);
  EXPECT_EQ(steps_taken, 10);
  EXPECT_THAT(read_course(out() / "stages/1-first/gates.jsonl").steps, ElementsAre(0, 1, 2, 3, 4, 5));
}

TEST_F(SearchTest, RefusesAnotherSearchInItsPlace) {
  search();
  EXPECT_THAT(config_error([&] { search(); }), HasSubstr("already holds a search or a run"));
  EXPECT_THAT(config_error([&] { search("{name: two_stages, width: 5}", true); }),
              HasSubstr("search.width differs from the search's config.yaml"));
}

TEST_F(SearchTest, NamesTheNearestOfAnUnknownOptionAndTheSearchesWhereNoneIsAskedFor) {
  EXPECT_THAT(config_error([&] { search("{name: two_stages, widht: 5}"); }), HasSubstr("did you mean search.width?"));
  Config without = experiment("{name: two_stages}");
  without.erase("search");
  const auto message = config_error([&] { search_run(without, {.data = folder_ / "data", .out = out()}); });
  EXPECT_THAT(message, HasSubstr("has no `search:`"));
  EXPECT_THAT(message, HasSubstr("autofis"));
  EXPECT_FALSE(fs::exists(out()));
}

TEST_F(SearchTest, ListsTheModelsThatCanBeSearchedWhereOneCannot) {
  const auto message = config_error([&] { search("{name: autofis}"); });
  EXPECT_THAT(message, HasSubstr("model 'lr' has no interactions"));
  EXPECT_THAT(message, HasSubstr("deepfm"));
  EXPECT_FALSE(fs::exists(out()));
}

TEST_F(SearchTest, ReadsTheKeptInteractionsOfASearchOrTheListOfAnExperiment) {
  search();
  const auto expected = Config::parse("[[a, b]]");
  EXPECT_EQ(read_interactions(out() / "search.json"), expected);
  const auto listed = folder_.write("retrain.yaml", "model: {name: fm, interactions: [[a, b]]}\n");
  EXPECT_EQ(read_interactions(listed), expected);
  const auto by_function = folder_.write("functions.yaml",
                                         "model: {name: aim, interactions: [{fields: [a, b], function: inner}, "
                                         "{fields: [a, b], function: outer}]}\n");
  EXPECT_EQ(read_interactions(by_function), expected);
  const auto other = folder_.write("other.yaml", "model: {name: fm}\n");
  EXPECT_THAT(config_error([&] { read_interactions(other); }), HasSubstr("other.yaml: has no list of interactions"));
  const auto none = folder_.write("none.json", R"({"interactions": [{"fields": ["a", "b"], "kept": false}]})");
  EXPECT_THAT(config_error([&] { read_interactions(none); }), HasSubstr("none.json: keeps no interaction"));
}

TEST(ClosingGrda, NamesTheCWhoseThresholdKeepsThatMany) {
  // After 100 steps at lr 0.25, mu 0.5: threshold = c 0.25^(1/2 + 1/2) 100^(1/2) = 2.5 c.
  const StageResult stage{.name = "search", .steps = 100};
  const GrdaOptions ran{.c = 0.4, .mu = 0.5, .lr = 0.25};
  const std::vector<double> values{-3, 0.5, 2, 1.5, -0.1};
  const auto two = closing_grda(stage, ran, 2.5 * ran.c, values, 2);  // between 2 and 1.5
  EXPECT_DOUBLE_EQ(two.threshold, 1.75);
  EXPECT_DOUBLE_EQ(two.c, 1.75 / 2.5);
  EXPECT_EQ(two.searched_c, 0.4);
  EXPECT_EQ(grda_text(two), "GRDA with c 0.7 (searched with 0.4), mu 0.5, threshold 1.75");
  const auto as_it_ran = closing_grda(stage, ran, 2.5 * ran.c, values, 0);
  EXPECT_EQ(as_it_ran.threshold, 1);
  EXPECT_EQ(as_it_ran.c, 0.4);
  EXPECT_EQ(grda_text(as_it_ran), "GRDA with c 0.4, mu 0.5, threshold 1");
  EXPECT_EQ(closing_grda(stage, ran, 1, values, 5).c, 0);                  // all
  EXPECT_TRUE(std::isnan(closing_grda(stage, {.c = 0}, 0, values, 2).c));  // 0 grows to no threshold
}

TEST(ClosingGrda, WantsAtLeastOneOfAShare) {
  EXPECT_EQ(wanted_gates(0, 15), 0u);
  EXPECT_EQ(wanted_gates(0.2, 15), 3u);
  EXPECT_EQ(wanted_gates(0.01, 15), 1u);
}

TEST_F(SearchTest, ACourseWhoseLastLineWasCutShortGoesOn) {
  const auto file = folder_.write("gates.jsonl",
                                  "{\"names\":[\"a\"]}\n{\"step\":0,\"threshold\":0.0,\"values\":[0.6]}\n"
                                  "{\"step\":1,\"threshold\":0.1,\"values\":[0.5]}\n{\"step\":2,\"thresh");
  EXPECT_THAT(read_course(file).steps, ElementsAre(0, 1));
  const auto odd = folder_.write("odd.jsonl", "{\"names\":[\"a\"]}\n{\"step\":0,\"threshold\":0.0,\"values\":[1,2]}\n");
  EXPECT_THAT(data_error([&] { read_course(odd); }), HasSubstr("odd.jsonl:2: 2 values for 1 gates"));
  EXPECT_TRUE(read_course(folder_ / "absent.jsonl").names.empty());
}

}  // namespace
}  // namespace interplay::search_test
