#include <algorithm>
#include <cmath>
#include <filesystem>
#include <functional>
#include <set>

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <interplay/base/files.h>
#include <interplay/base/log.h>
#include <interplay/base/progress.h>
#include <interplay/core/bundle.h>
#include <interplay/data/prepare.h>
#include <interplay/data/synth.h>
#include <interplay/nn/safetensors.h>
#include <interplay/search/search.h>

#include "search/gates.h"
#include "support/error_of.h"
#include "support/temp_dir.h"

namespace fs = std::filesystem;

namespace interplay::aim_test {
namespace {

using Json = nlohmann::ordered_json;
using testing::config_error;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

/// Four fields, of which f0 and f1 decide together, and f1, f2 and f3, by the inner product of two numbers of each.
class AimSearch : public ::testing::Test {
 protected:
  AimSearch() {
    Progress::enable(false);
    log::set_level(log::Level::warning);
    SynthOptions planted;
    planted.shape = "planted";
    planted.rows = 16000, planted.fields = 4, planted.categories = 40;
    planted.pairs = "0-1:inner:2";
    planted.triples = "1-2-3:inner:2";
    planted.noise = 0.1;
    synthesize(planted, folder_ / "raw");
    prepare(Config::load(folder_ / "raw/data.yaml"), folder_ / "data");
  }
  ~AimSearch() override { log::set_level(log::Level::info); }

  Config experiment(const std::string& search) const {
    return Config::parse(fmt::format(R"(
model: {{name: fm, embedding_dim: 8}}
train: {{epochs: 5, batch_size: 200, patience: 0}}
optimizer: {{embedding: {{name: adam, lr: 1e-2}}, dense: {{name: adam, lr: 1e-2}}}}
search: {{name: aim, {}}})",
                                     search));
  }
  SearchSummary run(const std::string& search) const {
    return search_run(experiment(search), {.data = folder_ / "data", .out = folder_ / "out"});
  }
  testing::TempDir folder_;
};

std::vector<std::string> names(const std::vector<StageResult>& stages) {
  std::vector<std::string> out;
  for (const auto& s : stages) out.push_back(s.name);
  return out;
}

Interaction strongest(const SearchSummary& found, size_t order) {
  const Interaction* best = nullptr;
  for (const auto& i : found.findings.interactions) {
    if (i.fields.size() == order && (!best || std::abs(i.gate) > std::abs(best->gate))) best = &i;
  }
  return *best;
}

TEST_F(AimSearch, FindsPlantedSetsStageByStageAndNarrowsTheirTables) {
  const auto found = run("orders: 3, functions: [inner, outer], epochs: 5, keep: 0.25, keep_dimensions: 0.3");
  EXPECT_THAT(names(found.stages), ElementsAre("base", "search-2", "search-3", "dimensions", "retrain"));
  EXPECT_THAT(strongest(found, 2).fields, ElementsAre("f0", "f1"));
  EXPECT_THAT(strongest(found, 3).fields, ElementsAre("f1", "f2", "f3"));
  for (const char* field : {"f1", "f2", "f3"})
    EXPECT_LE(found.findings.widths.at(fmt::format("{} (order 3, inner)", field)), 3) << field;
  EXPECT_GT(found.stages.back().auc, found.stages.front().auc + 0.03);  // FM knows no triples

  const Config retrain = Config::load(folder_ / "out/retrain.yaml");
  const auto weights = nn::Safetensors(folder_ / "out" / found.stages.back().directory / "model.safetensors").tensors();
  int64_t numbers = 0, rows = 0;
  std::set<std::string> narrow;
  for (const Config& item : retrain["model"]["narrow"].items()) {
    for (const Config& table : item["tables"].items()) {
      const auto name = fmt::format("order{}_{}.fields.{}.weight", item["order"].as<std::string>(),
                                    item["function"].as<std::string>(), table.as<std::string>());
      ASSERT_TRUE(weights.contains(name)) << name;
      EXPECT_EQ(weights.at(name).size(1), item["width"].as<int64_t>()) << name;
      narrow.insert(name);
    }
  }
  EXPECT_FALSE(narrow.empty());
  for (const auto& [name, weight] : weights) {
    if (name.find(".fields.") == std::string::npos) continue;
    numbers += weight.numel(), rows += weight.size(0);
  }
  EXPECT_LT(numbers, rows * 8 * 6 / 10);  // half of those that the search began with, and fewer tables
  const auto& searched = found.stages[3];
  EXPECT_LT(found.stages.back().parameters, searched.parameters);
  EXPECT_LT(found.stages.back().bytes, searched.bytes);

  const Json json = Json::parse(read_file(folder_ / "out/search.json"));
  EXPECT_EQ(json["interactions"].size(), found.findings.interactions.size());
  EXPECT_FALSE(json["widths"].is_null());
  ASSERT_EQ(json["grda"].size(), 3u);
  for (const Json& g : json["grda"]) {  // lr 1: threshold = c steps^mu
    const double mu = g["gates"] == "dimensions" ? 0.55 : 0.8;
    EXPECT_NEAR(g["threshold"], g["c"].get<double>() * std::pow(320, mu), 1e-6) << g;
    EXPECT_NE(g["c"], g["searched_c"]) << g;  // a share was asked for
  }
  RunOptions again;
  again.data = folder_ / "data", again.out = folder_ / "again";
  train_run(retrain, again);  // runs as it is
  EXPECT_EQ(read_file(folder_ / "again/model.safetensors"),
            read_file(folder_ / "out" / found.stages.back().directory / "model.safetensors"));
}

/// What GRDA accumulates as its threshold, step by step.
double threshold_after(int64_t steps, double c, double mu, const std::function<double(int64_t)>& lr) {
  double sum = 0;
  for (int64_t t = 0; t < steps; ++t)
    sum += c * std::pow(lr(t), 0.5 + mu) * (std::pow(t + 1., mu) - std::pow(double(t), mu));
  return sum;
}

TEST_F(AimSearch, GatesHaveAScheduleOfTheirOwn) {
  const auto last_threshold = [&](const std::string& schedule, const std::string& out) {
    Config config =
        experiment("orders: 2, functions: [inner], dimensions: false, base: false, retrain: false, lr: 0.5, c: 5e-4");
    config.set("train.schedule", Config::parse("{name: step, every: 10, factor: 0.1}"));
    if (!schedule.empty()) config.set("search.schedule", Config::parse(schedule));
    const auto s = search_run(config, {.data = folder_ / "data", .out = folder_ / out});
    EXPECT_EQ(s.stages[0].steps, 64);
    return read_course(folder_ / out / s.stages[0].directory / "gates.jsonl").thresholds.back();
  };
  EXPECT_NEAR(last_threshold("", "constant"), threshold_after(64, 5e-4, 0.8, [](auto) { return 0.5; }), 1e-7);
  // AIM's code: .75 after each fifth
  EXPECT_NEAR(last_threshold("{name: step, every: 13, factor: 0.75}", "fifths"),
              threshold_after(64, 5e-4, 0.8, [](int64_t t) { return 0.5 * std::pow(0.75, t / 13); }), 1e-7);
}

TEST_F(AimSearch, UnifiedItFindsSetsFunctionsAndWidthsInOneStageAnOrder) {
  const auto found = run(
      "orders: 3, unified: true, functions: [inner, outer], epochs: 5, keep: 0.25, keep_dimensions: 0.3, base: false");
  EXPECT_THAT(names(found.stages), ElementsAre("search-2", "search-3", "retrain"));
  const Interaction pair = strongest(found, 2), triple = strongest(found, 3);
  EXPECT_THAT(pair.fields, ElementsAre("f0", "f1"));
  EXPECT_EQ(pair.function, "inner");
  EXPECT_THAT(triple.fields, ElementsAre("f1", "f2", "f3"));
  EXPECT_EQ(triple.function, "inner");
  for (const char* table : {"f0 (order 2, inner)", "f1 (order 2, inner)", "f1 (order 3, inner)", "f2 (order 3, inner)",
                            "f3 (order 3, inner)"}) {
    EXPECT_GE(found.findings.widths.at(table), 1) << table;
    EXPECT_LE(found.findings.widths.at(table), 5) << table;  // two are planted, eight are searched
  }
  EXPECT_LT(found.stages.back().bytes, found.stages.front().bytes);
  const Json json = Json::parse(read_file(folder_ / "out/search.json"));
  EXPECT_EQ(json["widths"].size(), found.findings.widths.size());
  EXPECT_EQ(json["grda"].size(), 4u);  // two kinds of gates at two orders

  RunOptions again;
  again.data = folder_ / "data", again.out = folder_ / "again";
  train_run(Config::load(folder_ / "out/retrain.yaml"), again);
  const std::string weights = read_file(folder_ / "again/model.safetensors");
  EXPECT_EQ(weights, read_file(folder_ / "out" / found.stages.back().directory / "model.safetensors"));
}

TEST_F(AimSearch, UnifiedWithPairsAloneItIsOneSearch) {
  const auto found = run(
      "orders: 2, unified: true, functions: [inner, outer], keep: 0.15, keep_dimensions: 0.3, base: false, retrain: "
      "false");
  EXPECT_THAT(names(found.stages), ElementsAre("search-2"));
  EXPECT_FALSE(found.findings.widths.empty());
  EXPECT_THAT(config_error([&] { run("unified: true, dimensions: false"); }),
              HasSubstr("search.unified: searches widths too"));
}

TEST_F(AimSearch, SaysHowToKeepMoreWhereEveryGateCloses) {
  EXPECT_THAT(config_error([&] { run("orders: 2, functions: [inner], c: 100, base: false"); }),
              HasSubstr("search: every gate is closed after 64 steps: the threshold"));
}

}  // namespace
}  // namespace interplay::aim_test
