// interplay graph: what AutoGraph reads beside the data.
#include <fmt/format.h>

#include <interplay/systems/graph.h>

#include "lm.h"

namespace interplay::tool::graph_command {
namespace {

struct Arguments {
  std::string first, data, out, cache, users, items, raw, root;
  std::vector<std::string> sets;
  int64_t shuffle = -1;
  bool force = false;

  void add_common(CLI::App& app) {
    app.add_option("--data", data, "prepared data")->required();
    app.add_option("--out", out, "directory that is written, whole or not at all")->required();
    app.add_option("--cache", cache, "directory of vectors of texts that are known already; new ones are added");
    app.add_flag("--force", force, "replace --out if it exists");
  }
  GraphRun run(CLI::App& app) const {
    GraphRun out;
    out.cache = cache;
    if (shuffle >= 0) out.shuffle = shuffle;
    out.users = users;
    out.items = items;
    out.data = raw;
    out.root = root;
    out.threads = threads_of(app);
    return out;
  }
};

void print(const GraphInfo& info, const std::string& out) {
  std::vector<std::vector<std::string>> rows{{"", "with codes", "of", "codes used", "evenly used", "distance"}};
  for (const auto& [name, side] : {std::pair{"users", &info.users}, {"items", &info.items}}) {
    std::vector<std::string> spread;
    for (const double s : side->spread) spread.push_back(fmt::format("{:.1f}", s));
    rows.push_back({name, std::to_string(side->coded), std::to_string(side->rows - 2),
                    fmt::format("{} of {}", fmt::join(side->used, ", "), side->codes),
                    fmt::format("{}", fmt::join(spread, ", ")), fmt::format("{:.4f}", side->error)});
  }
  fmt::print("{}{}: {} clicks{}; graph.html shows what codes hold\n", table(rows), out, info.clicks,
             info.shuffled ? ", codes shuffled" : "");
}

std::function<void()> add_build(CLI::App& app) {
  auto a = std::make_shared<Arguments>();
  app.add_option("EXP", a->first, "experiment: users, items, encoder ... (interplay help graph)")->required();
  a->add_common(app);
  app.add_option("--set", a->sets, "KEY=VALUE, on top of the file (may be given again)")->allow_extra_args(false);
  app.add_option("--shuffle", a->shuffle, "deal the codes out anew by this seed: the control")->check(at_least(0));
  return [a, &app] {
    check_out(a->out, a->force);
    Config experiment = Config::load(a->first);
    set_all(experiment, a->sets);
    print(build_graph(experiment, a->data, a->out, a->run(app)), a->out);
  };
}

std::function<void()> add_assign(CLI::App& app) {
  auto a = std::make_shared<Arguments>();
  app.add_option("GRAPH", a->first, "directory that `interplay graph build` wrote")->required();
  a->add_common(app);
  app.add_option("--users", a->users, "file of vectors by key, in place of that of the graph's experiment");
  app.add_option("--items", a->items, "likewise of the items");
  app.add_option("--raw", a->raw, "data.yaml of the raw files, where the graph was built of texts");
  app.add_option("--root", a->root, "folder of the raw files; by default as their data.yaml says");
  return [a, &app] {
    check_out(a->out, a->force);
    print(assign_graph(a->first, a->data, a->out, a->run(app)), a->out);
  };
}

const AddCommand group("graph", "graphs of what a language model knows of users and items (AutoGraph)", nullptr);
const AddCommand build("graph build", "texts of users and items to codes, codes and clicks to a graph", add_build);
const AddCommand assign("graph assign", "codes for new users and items, by a graph's quantisers as they are",
                        add_assign);

}  // namespace
}  // namespace interplay::tool::graph_command
