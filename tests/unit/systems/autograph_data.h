#pragma once

#include <string>
#include <vector>

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <interplay/base/error.h>
#include <interplay/base/log.h>
#include <interplay/base/progress.h>
#include <interplay/base/random.h>
#include <interplay/data/keyed_vectors.h>
#include <interplay/data/prepare.h>
#include <interplay/systems/graph.h>
#include <interplay/train/run.h>

#include "support/temp_dir.h"

/// Users and items in groups that their vectors tell and no id does: whoever is of a group clicks items of it.
namespace interplay::autograph::testing {

/// Each user's fourth click is for test, the third for valid, the second for train, the first is the past alone.
class GroupedClicks {
 public:
  static constexpr int64_t kNodes = 200, kGroups = 8;

  GroupedClicks() {
    log::set_level(log::Level::off);
    Progress::enable(false);
    write_clicks("clicks.csv", kNodes);
    write_vectors(kNodes);
    prepare(Config::load(dir_.write("data.yaml", data_yaml("clicks.csv"))), dir_ / "data");
  }
  ~GroupedClicks() { log::set_level(log::Level::info); }

  static int64_t group_of(int64_t node) { return node % kGroups; }

  static std::string data_yaml(const std::string& file) {
    return "file: " + file +
           "\nsplit: {by: user_last, user: u, time: t}\nlabel: y\nfields:\n  - {columns: [u, i]}\n"
           "  - {name: past, kind: history, user: u, item: i, time: t, min_length: 1, max_length: 10}\n";
  }

  /// Of `items` items, each user's are drawn from those of the group.
  void write_clicks(const std::string& file, int64_t items, uint64_t seed = 1) const {
    std::string rows = "u,i,t,y\n";
    for (int64_t user = 0; user < kNodes; ++user) {
      for (int64_t t = 0; t < 4; ++t) {
        const auto draw = int64_t(random_bits(seed, uint64_t(user), uint64_t(t)) % uint64_t(items / kGroups));
        rows += fmt::format("u{},i{},{},1\n", user, draw * kGroups + group_of(user), t);
      }
    }
    dir_.write(file, rows);
  }

  /// users.parquet and items.parquet: the group's vector and noise.
  void write_vectors(int64_t items) const {
    const auto centre = [](int64_t group, int64_t k) { return random_normal(7, uint64_t(group), uint64_t(k)); };
    for (const auto& [name, letter, count] :
         {std::tuple{"users.parquet", 'u', kNodes}, {"items.parquet", 'i', items}}) {
      VectorWriter out(dir_ / name, 8);
      for (int64_t n = 0; n < count; ++n) {
        std::vector<float> v;
        for (int64_t k = 0; k < 8; ++k)
          v.push_back(float(centre(group_of(n), k) + 0.1 * random_normal(uint64_t(letter), uint64_t(n), uint64_t(k))));
        const std::string key = fmt::format("{}{}", letter, n);
        out.write({&key, 1}, v);
      }
      out.close();
    }
  }

  std::string of(const std::string& name) const { return (dir_ / name).string(); }

  Config graph_experiment() const {
    return Config::parse(fmt::format(
        "{{components: 0, users: {{field: u, vectors: {{from: {}}}, quantizer: {}}}, items: {{field: i, vectors: "
        "{{from: {}}}, quantizer: {}}}}}",
        of("users.parquet"), kQuantizer, of("items.parquet"), kQuantizer));
  }
  GraphInfo build(const std::string& out, std::optional<int64_t> shuffle = {}) const {
    return build_graph(graph_experiment(), dir_ / "data", dir_ / out, {.shuffle = shuffle});
  }

  /// Recall@10 of the test rows. `graph` empty: without one. `more`: of the augmenters, or of the experiment.
  double recall(const std::string& out, const std::string& model, const std::string& graph, int64_t seed,
                const std::string& more = "", const std::string& data = "data", int64_t epochs = 20) const {
    const auto entry = [&](const char* side) {
      return fmt::format(
          "{{name: autograph, from: {}, side: {}, embedding_dim: 16, head_dim: 8, dropout: 0, init_std: 0.3}}",
          of(graph), side);
    };
    const std::string augment =
        graph.empty() ? "" : fmt::format("fields: {{augment: [{}, {}]}}, ", entry("user"), entry("item"));
    const auto summary = train_run(Config::parse(fmt::format("{{model: {}, {}{}train: {{epochs: {}, batch_size: 40, "
                                                             "patience: 0, metrics: [recall@10], monitor: recall@10}}, "
                                                             "optimizer: {{embedding: {{name: adam, lr: 1e-3}}, dense: "
                                                             "{{name: adam, lr: 3e-3}}}}, seed: {}, threads: 1}}",
                                                             model, augment, more, epochs, seed)),
                                   {.data = dir_ / data, .out = dir_ / out});
    for (const auto& value : summary.test) {
      if (value.name == "recall@10") return value.value;
    }
    throw Error("no recall@10 in the run " + out);
  }

  static constexpr const char* kQuantizer = "{books: 2, codes: 16, width: 8, hidden: [16], epochs: 40, batch_size: 50}";
  const interplay::testing::TempDir dir_;
};

}  // namespace interplay::autograph::testing
