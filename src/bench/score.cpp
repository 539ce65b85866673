#include <algorithm>
#include <fstream>
#include <sstream>
#include <string_view>

#include <ATen/Parallel.h>

#include <interplay/bench/peaks.h>
#include <interplay/core/bundle.h>
#include <interplay/core/model.h>
#include <interplay/serve/scorer.h>

#include "bench/criteo.h"

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
    Setting made = setting;
    made.data.clear();  // the raw rows and the vocabularies have to be those of one another
    const fs::path prepared = criteo_prepared(made, options_.rows), raw = criteo_raw(made, options_.rows);
    const Config config = experiment(setting, options_.model);
    const Schema schema = select_fields(Schema::load(prepared / "schema.yaml"), config["fields"]);
    const fs::path run = raw.parent_path() / "scored";
    fs::remove_all(run);
    save_bundle(run, *make_model(config["model"], schema, 1), config, schema, prepared);
    const auto scorer = Scorer::load(run);
    const auto requests = read_requests(raw / "test.txt");
    const auto ranker = scorer.ranker(user_columns());
    const int threads = at::get_num_threads();
    at::set_num_threads(1);
    Findings out;
    std::vector<float> p(static_cast<size_t>(options_.candidates));
    for (int64_t i = -1; i < setting.repeats; ++i) {  // the first round warms up
      std::vector<double> ms;
      for (int64_t r = 0; r < options_.requests; ++r) {
        const Request& request = requests[size_t(r) % requests.size()];
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
  struct Request {
    std::vector<std::string> text;  // what the cells are views of
    std::vector<std::string_view> user, candidates;
  };
  static constexpr size_t kColumns = 39;

  std::vector<std::string> user_columns() const {
    std::vector<std::string> names;
    for (int i = 1; i <= 13; ++i) names.push_back(fmt::format("I{}", i));
    for (int i = 1; i <= 26; ++i) names.push_back(fmt::format("C{}", i));
    names.resize(size_t(options_.user_columns));
    return names;
  }
  /// Some requests, made of the rows of a Criteo text: their first columns are those of their first row.
  std::vector<Request> read_requests(const fs::path& file) const {
    constexpr size_t kRequests = 16;
    const auto users = size_t(options_.user_columns), count = size_t(options_.candidates);
    std::vector<std::vector<std::string>> rows;
    std::ifstream in(file);
    for (std::string line; rows.size() < kRequests * count && std::getline(in, line);) {
      auto& cells = rows.emplace_back();
      std::stringstream parts(line);
      for (std::string cell; std::getline(parts, cell, '\t');) cells.push_back(cell);
      cells.resize(kColumns + 1);
    }
    INTERPLAY_CHECK_DATA(!rows.empty(), "{}: no row to score", file.string());
    std::vector<Request> requests(kRequests);
    for (size_t r = 0; r < kRequests; ++r) {
      auto& text = requests[r].text;
      const auto cells_of = [&](size_t row, size_t first, size_t end) {
        for (size_t c = first; c < end; ++c) text.push_back(rows[row % rows.size()][c + 1]);
      };
      cells_of(r * count, 0, users);
      for (size_t i = 0; i < count; ++i) cells_of(r * count + i, users, kColumns);
      requests[r].user.assign(text.begin(), text.begin() + int64_t(users));
      requests[r].candidates.assign(text.begin() + int64_t(users), text.end());
    }
    return requests;
  }
  Options options_;
};

INTERPLAY_REGISTER(workloads(), "score", Score, "a user with 200 candidates from raw strings, on one core");

}  // namespace
}  // namespace interplay::bench
