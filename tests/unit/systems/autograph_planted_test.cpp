// AutoGraph must find what its graph alone tells: groups that no id and no click of a row's own says.
#include <gtest/gtest.h>

#include <interplay/base/config.h>

#include "autograph_data.h"

namespace interplay::autograph::autograph_planted_test {
namespace {

using testing::GroupedClicks;

TEST(AutoGraphPlanted, TrueCodesMoreThanDoubleRecallAndShuffledOnesDoNot) {
  const GroupedClicks data;
  data.build("graph");
  data.build("shuffled", 1);
  double none = 0, graph = 0, shuffled = 0;
  constexpr int kSeeds = 3;
  for (int seed = 1; seed <= kSeeds; ++seed) {
    const auto run = [&](const std::string& g) {
      return data.recall(fmt::format("run-{}-{}", g, seed),
                         "{name: two_tower, embedding_dim: 16, output_dim: 16, hidden: [32], negatives: 50}", g, seed) /
             kSeeds;
    };
    none += run("");
    graph += run("graph");
    shuffled += run("shuffled");
  }
  RecordProperty("recall", fmt::format("none {} graph {} shuffled {}", none, graph, shuffled));
  EXPECT_GT(graph, 2 * none) << "none " << none << ", shuffled " << shuffled;
  EXPECT_LT(shuffled, none + 0.03) << "none " << none << ", graph " << graph;  // two standard errors over 600 rows
}

TEST(AutoGraphPlanted, NewItemsAreFoundByTheirCodesWithoutTraining) {
  const GroupedClicks data;
  data.build("graph");
  const std::string model = "{name: two_tower, embedding_dim: 16, output_dim: 16, hidden: [32], negatives: 50}";
  data.recall("old", model, "graph", 1);
  data.recall("old-none", model, "", 1);

  // Clicks on 200 items more, and nothing else: what was there is known by the vocabulary alone.
  data.write_clicks("new.csv", 2 * GroupedClicks::kNodes, 2);
  data.write_vectors(2 * GroupedClicks::kNodes);
  prepare(Config::load(data.dir_.write("new.yaml", GroupedClicks::data_yaml("new.csv"))), data.dir_ / "new",
          {.vocabulary_from = data.dir_ / "old"});
  const GraphInfo old = GraphInfo::load(data.dir_ / "graph");
  const GraphInfo info = assign_graph(data.dir_ / "graph", data.dir_ / "new", data.dir_ / "assigned");
  EXPECT_GT(info.items.coded, old.items.coded + 50);
  EXPECT_EQ(info.items.books, 2);
  const double with = data.recall("then", model, "assigned", 1, "init: " + data.of("old") + ", ", "new", 0);
  const double without = data.recall("then-none", model, "", 1, "init: " + data.of("old-none") + ", ", "new", 0);
  RecordProperty("recall", fmt::format("with {} without {}", with, without));
  EXPECT_GT(with, 2 * without);
}

}  // namespace
}  // namespace interplay::autograph::autograph_planted_test
