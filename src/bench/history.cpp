#include <fstream>

#include <fmt/format.h>

#include <interplay/base/random.h>
#include <interplay/bench/criteo.h>
#include <interplay/core/bundle.h>
#include <interplay/data/prepare.h>
#include <interplay/serve/scorer.h>
#include <interplay/train/run.h>

#include "bench/rank_requests.h"

namespace fs = std::filesystem;

namespace interplay::bench {
namespace {

struct HistoryBenchOptions {
  std::string model = "din";
  int64_t events = 50, candidates = 200, items = 20000, requests = 500;
  void visit(auto&& field) {
    field("model", model, "model that scores, by name; its weights are as drawn");
    field("events", events, "of the user's history, each an item and a rating", Range{0, 1e6});
    field("candidates", candidates, "rows a request", Range{1, 1e6});
    field("items", items, "that histories and candidates are drawn from", Range{10, 1e8});
    field("requests", requests, "requests a repeat", Range{1, 1e9});
  }
};

/// The `score` workload for models that read a history.
class HistoryScore final : public Workload {
 public:
  using Options = HistoryBenchOptions;
  explicit HistoryScore(const Options& options) : options_(options) {}

  Findings run(const Setting& setting) override {
    const auto scorer = Scorer::load(make_run(setting));
    const auto ranker = scorer.ranker({"user", "age", "past", "past_ratings"});
    std::vector<CriteoRequest> requests(16);
    for (size_t r = 0; r < requests.size(); ++r) {
      auto& text = requests[r].text;
      text = {fmt::format("u{}", r), "30", entries(r, options_.events, true), entries(r, options_.events, false)};
      for (int64_t c = 0; c < options_.candidates; ++c) {
        const uint64_t item = draw(1000 + r, uint64_t(c));
        text.push_back(fmt::format("i{}", item));
        text.push_back(fmt::format("g{}", item % 20));
      }
      requests[r].user.assign(text.begin(), text.begin() + 4);
      requests[r].candidates.assign(text.begin() + 4, text.end());
    }
    Findings out;
    rank_requests(ranker, requests, options_.candidates, options_.requests, setting.repeats, out);
    if (!scorer.fallback_reason().empty()) out.notes.emplace_back("through LibTorch", scorer.fallback_reason());
    return out;
  }

 private:
  uint64_t draw(uint64_t stream, uint64_t place) const {
    return uint64_t(random_unit(11, stream, place) * double(options_.items));
  }
  /// A cell of items, or of what they were rated.
  std::string entries(uint64_t row, int64_t count, bool items) const {
    std::string out;
    for (int64_t e = 0; e < count; ++e) {
      const uint64_t item = draw(row, uint64_t(e));
      fmt::format_to(std::back_inserter(out), "{}{}{}", e > 0 ? "|" : "", items ? "i" : "",
                     items ? item : 1 + item % 5);
    }
    return out;
  }
  fs::path make_run(const Setting& setting) const {
    const fs::path folder = setting.scratch / fmt::format("history-{}-{}", options_.items, options_.events);
    const fs::path prepared = folder / "prepared", run = folder / "scored";
    if (!fs::exists(prepared)) {
      fs::create_directories(folder);
      std::ofstream rows(folder / "rows.csv");
      rows << "user,age,item,genre,past,past_ratings,click\n";
      for (int64_t i = 0; i < options_.items; ++i) {  // each item once, so that all have a row of their own
        rows << fmt::format("u{},{},i{},g{},{},{},{}\n", i % 1000, 20 + i % 50, i, i % 20,
                            entries(uint64_t(i), std::min<int64_t>(3, options_.events), true),
                            entries(uint64_t(i), std::min<int64_t>(3, options_.events), false), i % 2);
      }
      rows.close();
      prepare(
          Config::parse(fmt::format("format: csv\nroot: {}\nfiles: {{train: rows.csv}}\nlabel: click\nfields:\n"
                                    "  - {{columns: [user, item, genre]}}\n"
                                    "  - {{column: age, kind: numeric, transform: log1p}}\n"
                                    "  - {{column: past, kind: sequence, separator: \"|\", target: item, share: "
                                    "item}}\n"
                                    "  - {{column: past_ratings, kind: sequence, separator: \"|\", paired: past}}\n",
                                    folder.string())),
          prepared);
    }
    const Config config = experiment(setting, options_.model);
    const Schema schema = Schema::load(prepared / "schema.yaml");
    fs::remove_all(run);
    save_bundle(run, *make_model(config["model"], schema, 1), config, schema, prepared);
    return run;
  }

  Options options_;
};

INTERPLAY_REGISTER(workloads(), "score_history", HistoryScore,
                   "a user with a history and 200 candidates from raw strings, on one core");

}  // namespace
}  // namespace interplay::bench
