#include <interplay/bench/criteo.h>
#include <interplay/serve/scorer.h>

#include "bench/rank_requests.h"

namespace fs = std::filesystem;

namespace interplay::bench {
namespace {

struct ScoreBenchOptions {
  std::string model = "deepfm";
  int64_t candidates = 200, requests = 500, rows = 500000, user_columns = 20;
  void visit(auto&& field) {
    field("model", model, "model that scores, by name; its weights are as drawn");
    field("candidates", candidates, "rows a request", Range{1, 1e6});
    field("user_columns", user_columns, "of Criteo's 39 columns, those that all candidates of a request share",
          Range{0, 39});
    field("requests", requests, "requests a repeat", Range{1, 1e9});
    field("rows", rows, "made-up rows, which decide how large the tables are", Range{100, 1e12});
  }
};

/// Raw strings in, probabilities out, one request after another, on one core.
class Score final : public Workload {
 public:
  using Options = ScoreBenchOptions;
  explicit Score(const Options& options) : options_(options) {}

  Findings run(const Setting& setting) override {
    const fs::path run = criteo_run(setting, options_.model, options_.rows, "scored");
    const auto scorer = Scorer::load(run);
    const auto requests = criteo_requests(setting, options_.rows, options_.user_columns, options_.candidates);
    auto columns = criteo_columns();
    columns.resize(size_t(options_.user_columns));
    const auto ranker = scorer.ranker(columns);
    Findings out;
    rank_requests(ranker, requests, options_.candidates, options_.requests, setting.repeats, out);
    return out;
  }

 private:
  Options options_;
};

INTERPLAY_REGISTER(workloads(), "score", Score, "a user with 200 candidates from raw strings, on one core");

}  // namespace
}  // namespace interplay::bench
