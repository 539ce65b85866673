// AutoGraph from raw rows to runs: the graph's directory, what it may hold, and runs that need it no more.
#include <filesystem>
#include <set>
#include <thread>

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <interplay/base/files.h>
#include <interplay/core/augmenter.h>
#include <interplay/core/bundle.h>
#include <interplay/data/dataset.h>
#include <interplay/nn/safetensors.h>
#include <interplay/serve/scorer.h>

#include "support/error_of.h"
#include "systems/autograph/graph_files.h"
#include "autograph_data.h"

namespace interplay::autograph::autograph_run_test {
namespace {

namespace fs = std::filesystem;
using interplay::testing::config_error;
using interplay::testing::data_error;
using testing::GroupedClicks;
using ::testing::HasSubstr;

class AutoGraphRun : public ::testing::Test {
 protected:
  AutoGraphRun() { data_.build("graph"); }

  std::shared_ptr<Augmenter> augmenter(const std::string& side, const std::string& more = "",
                                       const std::string& graph = "graph") const {
    const auto config = augmenters().resolve(Config::parse(
        fmt::format("{{name: autograph, from: {}, side: {}, embedding_dim: 4, head_dim: 4, dropout: 0{}}}",
                    data_.of(graph), side, more)));
    at::manual_seed(2);
    return augmenters().make(train_.schema(), 6, config);
  }
  Dataset split(const char* name) const { return Dataset::open(data_.dir_ / "data", name); }

  const GroupedClicks data_;
  const Dataset train_ = split("train");
};

std::set<std::pair<int64_t, int64_t>> pairs_of(const Clicks& clicks) {
  std::set<std::pair<int64_t, int64_t>> out;
  for (size_t i = 0; i < clicks.users.size(); ++i) out.emplace(clicks.users[i], clicks.items[i]);
  return out;
}

TEST_F(AutoGraphRun, ClicksOfValidAndTestAreInNoAdjacency) {
  const auto train = pairs_of(clicks_of(train_, "u", "i", "y"));
  EXPECT_EQ(GraphInfo::load(data_.dir_ / "graph").clicks, int64_t(train.size()));
  const auto neighbours = KeyedVectors::load({.from = data_.of("graph/neighbours.parquet")});
  std::set<std::pair<int64_t, int64_t>> found;
  const auto items = tokens_of(data_.dir_ / "data", train_.schema().field("i"));
  for (size_t id = 1; id <= items.size(); ++id) {
    for (const float user : neighbours.find(items[id - 1])) {
      if (user > 0) found.emplace(int64_t(user), int64_t(id));
    }
  }
  EXPECT_EQ(found, train) << "no item of these data has more than 15 users";
  int64_t later = 0;
  for (const char* name : {"valid", "test"}) {
    for (const auto& pair : pairs_of(clicks_of(split(name), "u", "i", "y"))) later += !train.contains(pair);
  }
  EXPECT_GT(later, 300);  // there was something to leak
}

TEST_F(AutoGraphRun, ARowsOwnClickIsNotInItsItemsVectorWhileItLearns) {
  // One member a factor: whoever is none tells others nothing but by clicks.
  const auto made = augmenter("item", ", members: 1");
  const Batch all = train_.slice(0, train_.rows());
  auto users = made->named_parameters()["item.u.weight"];
  const auto told = [&](bool training, int64_t row, float by) {
    made->train(training);
    const auto user = all.features.ids[row][train_.schema().field("u").column].item<int64_t>();
    const at::NoGradGuard no_grad;
    users[user].add_(by);
    const auto y = made->augment(all.features)[row][0].clone();
    users[user].sub_(by);
    return y;
  };
  int64_t alone = 0, moved = 0;
  for (int64_t row = 0; row < all.rows(); ++row) {
    if (!at::equal(told(true, row, 0), told(true, row, 1))) continue;  // a member of one of its factors
    ++alone;
    moved += !at::equal(told(false, row, 0), told(false, row, 1));
  }
  EXPECT_GT(alone, 170);  // of 200 users 16 at most are members
  EXPECT_GT(moved, 100);  // what is left out while it learns is there in evaluation
}

TEST_F(AutoGraphRun, EvaluationKeepsTheWholeGraphUntilWeightsChange) {
  const auto made = augmenter("both");
  const Features x = split("test").slice(0, 50).features;
  made->eval();
  at::Tensor with_graph;
  with_graph = made->augment(x).detach();  // gradients are wanted: nothing is kept
  const at::NoGradGuard no_grad;
  const auto kept = made->augment(x);
  EXPECT_TRUE(at::allclose(kept, with_graph, 1e-5, 1e-6));
  EXPECT_TRUE(at::equal(made->augment(x), kept));
  std::vector<at::Tensor> found(4);
  made->train(), made->eval();
  std::vector<std::thread> threads;
  for (auto& f : found)
    threads.emplace_back([&] {
      const at::NoGradGuard guard;
      f = made->augment(x);
    });
  for (auto& t : threads) t.join();
  for (const auto& f : found) EXPECT_TRUE(at::equal(f, kept));
  for (auto& p : made->parameters()) p.mul_(1.5);  // without train() and eval()
  EXPECT_FALSE(at::allclose(made->augment(x), kept));
}

TEST_F(AutoGraphRun, AFinishedRunScoresTheSameWithoutTheGraph) {
  for (const char* model : {"{name: deepfm, hidden: [8], embedding_dim: 4}", "{name: sasrec, negatives: 5}"}) {
    const std::string out = std::string("run-") + (model[7] == 'd' ? "deepfm" : "sasrec");
    train_run(Config::parse(fmt::format("{{model: {}, fields: {{augment: [{{name: autograph, from: {}, side: user}}, "
                                        "{{name: autograph, from: {}, side: item, freeze_gat: true}}]}}, train: "
                                        "{{epochs: 2, batch_size: 50, monitor: logloss, patience: 0}}, seed: 2, "
                                        "threads: 1}}",
                                        model, data_.of("graph"), data_.of("graph"))),
              {.data = data_.dir_ / "data", .out = data_.dir_ / out});
    const auto before = Scorer::load(data_.dir_ / out).score(split("test"));
    fs::rename(data_.dir_ / "graph", data_.dir_ / "away");
    EXPECT_EQ(Scorer::load(data_.dir_ / out).score(split("test")), before) << model;
    fs::rename(data_.dir_ / "away", data_.dir_ / "graph");
  }
}

TEST_F(AutoGraphRun, FrozenAttentionStaysAsItIsDrawn) {
  const auto weights = [&](int epochs) {
    const std::string out = fmt::format("frozen-{}", epochs);
    train_run(
        Config::parse(fmt::format("{{model: {{name: deepfm, hidden: [8], embedding_dim: 4}}, fields: {{augment: "
                                  "[{{name: autograph, from: {}, side: user}}, {{name: autograph, from: {}, side: "
                                  "item, freeze_gat: true}}]}}, train: {{epochs: {}, batch_size: 50, monitor: "
                                  "logloss, patience: 0, keep: last}}, seed: 2, threads: 1}}",
                                  data_.of("graph"), data_.of("graph"), epochs)),
        {.data = data_.dir_ / "data", .out = data_.dir_ / out});
    return nn::Safetensors(data_.dir_ / out / Bundle::kWeights).tensors();
  };
  const auto before = weights(0), after = weights(2);
  int64_t frozen = 0, learnt = 0;
  for (const auto& [name, weight] : after) {
    const bool same = at::equal(weight, before.at(name));
    if (name.find("autograph_2.item.") != std::string::npos && name.ends_with("source_weight")) frozen += same;
    // histories of one item leave the other attentions of a user's path without a gradient
    if (name.ends_with("autograph.user.other_to_own.source_weight")) learnt += !same;
    if (name.ends_with("autograph_2.map.weight") || name.ends_with("autograph_2.item.map.weight")) learnt += !same;
  }
  EXPECT_EQ(frozen, 5);
  EXPECT_EQ(learnt, 2);
}

TEST_F(AutoGraphRun, ARunThatWasStoppedEndsWithTheSameBytes) {
  const auto experiment =
      Config::parse(fmt::format("{{model: {{name: sasrec, negatives: 20, attention_dropout: 0.1}}, fields: {{augment: "
                                "[{{name: autograph, from: {}, "
                                "side: user}}, {{name: autograph, from: {}, side: item}}]}}, train: {{epochs: 2, "
                                "batch_size: 50, monitor: logloss, "
                                "patience: 0, checkpoint_every: 1}}, seed: 2, threads: 1}}",
                                data_.of("graph"), data_.of("graph")));
  train_run(experiment, {.data = data_.dir_ / "data", .out = data_.dir_ / "whole"});
  int64_t stops = 0;
  for (bool ended = false; !ended;) {
    RunOptions run{.data = data_.dir_ / "data", .out = data_.dir_ / "stopped", .resume = stops > 0};
    if (stops < 3) run.started = [](Trainer& trainer) { trainer.stop(); };  // after a step
    try {
      train_run(experiment, run);
      ended = true;
    } catch (const Error& error) {
      ASSERT_EQ(error.kind(), ErrorKind::interrupted) << error.what();
      ++stops;
    }
  }
  EXPECT_EQ(stops, 3);
  EXPECT_EQ(read_file(data_.dir_ / "stopped" / Bundle::kWeights), read_file(data_.dir_ / "whole" / Bundle::kWeights));
}

TEST_F(AutoGraphRun, RefusesGraphsThatAreDamagedForeignOrOfOtherData) {
  fs::copy(data_.dir_ / "graph", data_.dir_ / "damaged", fs::copy_options::recursive);
  interplay::testing::damage(data_.dir_ / "damaged" / "users.parquet", 40);
  EXPECT_THAT(config_error([&] { augmenter("both", "", "damaged"); }), HasSubstr("users.parquet"));
  fs::copy(data_.dir_ / "graph", data_.dir_ / "cut", fs::copy_options::recursive);
  fs::remove(data_.dir_ / "cut" / "manifest.json");
  EXPECT_THAT(config_error([&] { augmenter("both", "", "cut"); }), HasSubstr("interplay graph build"));
  EXPECT_THAT(config_error([&] { augmenter("both", "", "nowhere"); }), HasSubstr("no such directory"));
  const auto altered = [&](const std::string& what, const std::string& to) {
    std::string json = read_file(data_.dir_ / "graph" / "graph.json");
    json.replace(json.find(what), what.size(), to);
    fs::remove_all(data_.dir_ / "altered");
    fs::copy(data_.dir_ / "graph", data_.dir_ / "altered", fs::copy_options::recursive);
    write_file(data_.dir_ / "altered" / "graph.json", json);
    Manifest::describe(data_.dir_ / "altered").save(data_.dir_ / "altered");
    return config_error([&] { augmenter("both", "", "altered"); });
  };
  EXPECT_THAT(altered("\"codes\": 16", "\"codes\": 1600000000"), HasSubstr("users.codes is 1600000000"));
  EXPECT_THAT(altered("\"books\": 2", "\"books\": \"2\""), HasSubstr("expected what `interplay graph build` writes"));
  EXPECT_THAT(altered("\"version\": 1", "\"version\": 9"), HasSubstr("build the graph again"));
  // the same values under other ids: those of valid's rows come first
  std::string rows = read_file(data_.dir_ / "clicks.csv");
  rows += "u199,i0,-1,1\nu199,i0,0,1\nu199,i8,0,1\nu199,i8,1,1\n";
  data_.dir_.write("clicks.csv", rows);
  prepare(Config::load(data_.dir_ / "data.yaml"), data_.dir_ / "other");
  const auto config = augmenters().resolve(Config::parse("{name: autograph, from: " + data_.of("graph") + "}"));
  const Schema other = Dataset::open(data_.dir_ / "other", "train").schema();
  EXPECT_THAT(data_error([&] { augmenters().make(other, 6, config); }), HasSubstr("built of other data"));
}

TEST_F(AutoGraphRun, ShuffledCodesAreTheSameCodesOfOthers) {
  const GraphInfo info = data_.build("shuffled", 3);
  EXPECT_EQ(info.shuffled, 3);
  const GraphInfo plain = GraphInfo::load(data_.dir_ / "graph");
  EXPECT_EQ(info.users.used, plain.users.used);
  EXPECT_EQ(info.users.spread, plain.users.spread);
  EXPECT_EQ(read_file(data_.dir_ / "shuffled" / "neighbours.parquet"),
            read_file(data_.dir_ / "graph" / "neighbours.parquet"));
  EXPECT_NE(read_file(data_.dir_ / "shuffled" / "users.parquet"), read_file(data_.dir_ / "graph" / "users.parquet"));
  EXPECT_THAT(config_error([&] { assign_graph(data_.dir_ / "shuffled", data_.dir_ / "data", data_.dir_ / "x"); }),
              HasSubstr("its codes were shuffled"));
}

TEST_F(AutoGraphRun, TheSameExperimentGivesTheSameGraph) {
  data_.build("again");
  for (const char* file : {"users.parquet", "items.parquet", "neighbours.parquet", "clicks.parquet", "graph.json"})
    EXPECT_EQ(read_file(data_.dir_ / "again" / file), read_file(data_.dir_ / "graph" / file)) << file;
  assign_graph(data_.dir_ / "graph", data_.dir_ / "data", data_.dir_ / "assigned");
  EXPECT_EQ(read_file(data_.dir_ / "assigned" / "items.parquet"), read_file(data_.dir_ / "graph" / "items.parquet"));
}

TEST_F(AutoGraphRun, SaysWhatItLacks) {
  const auto build = [&](const std::string& yaml) {
    return config_error([&] { build_graph(Config::parse(yaml), data_.dir_ / "data", data_.dir_ / "out"); });
  };
  EXPECT_THAT(build("{}"), HasSubstr("users.field: missing"));
  EXPECT_THAT(build("{users: {field: u}, items: {field: i}}"), HasSubstr("users.template: missing"));
  EXPECT_THAT(build("{users: {field: past, vectors: {from: x}}, items: {field: i}}"),
              HasSubstr("'past' is sequence; expected a categorical field"));
  EXPECT_THAT(build("{users: {field: u, template: 'likes {i}'}, items: {field: i, template: '{i}'}}"),
              HasSubstr("data: missing"));
  EXPECT_FALSE(fs::exists(data_.dir_ / "out"));
  EXPECT_THAT(config_error([&] { augmenter("both", ", history: u"); }), HasSubstr("is no sequence of values of 'i'"));
}

}  // namespace
}  // namespace interplay::autograph::autograph_run_test
