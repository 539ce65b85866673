#include <algorithm>
#include <string_view>

#include <ATen/Parallel.h>

#include <interplay/bench/criteo.h>
#include <interplay/bench/peaks.h>
#include <interplay/serve/scorer.h>

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
    const int threads = at::get_num_threads();
    at::set_num_threads(1);
    Findings out;
    std::vector<float> p(static_cast<size_t>(options_.candidates));
    for (int64_t i = -1; i < setting.repeats; ++i) {  // the first round warms up
      std::vector<double> ms;
      for (int64_t r = 0; r < options_.requests; ++r) {
        const CriteoRequest& request = requests[size_t(r) % requests.size()];
        ms.push_back(1e3 * seconds_of([&] { ranker.score(request.user, request.candidates, p); }));
      }
      if (i < 0) continue;
      std::sort(ms.begin(), ms.end());
      const auto quantile = [&](double share) { return ms[size_t(share * double(ms.size() - 1))]; };
      out.figure("request, p50", "ms", quantile(0.5));
      out.figure("request, p99", "ms", quantile(0.99));
      double sum = 0;
      for (const double m : ms) sum += m;
      out.figure("candidates", "rows/s", 1e3 * double(options_.candidates) * double(ms.size()) / sum);
    }
    at::set_num_threads(threads);
    fs::remove_all(run);
    return out;
  }

 private:
  Options options_;
};

INTERPLAY_REGISTER(workloads(), "score", Score, "a user with 200 candidates from raw strings, on one core");

}  // namespace
}  // namespace interplay::bench
