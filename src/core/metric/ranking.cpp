// Metrics of a whole ranked catalogue. Ties are meant over all orders, in closed form.
#include <interplay/core/ranking_metric.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>

namespace interplay {

namespace {

/// Places of a block that lie within the first k.
int64_t within(const RankedQuery::Block& block, int64_t k) {
  return std::clamp<int64_t>(k - block.above, 0, block.size);
}

/// Relevant items that are expected within the first k.
double expected_hits(const RankedQuery& query, int64_t k) {
  double hits = 0;
  for (const auto& b : query.blocks) hits += double(b.relevant) * double(within(b, k)) / double(b.size);
  return hits;
}

/// Probability that none of a block's relevant items is among its first m: C(size - relevant, m) / C(size, m).
double none_among_first(const RankedQuery::Block& b, int64_t m) {
  double p = 1;
  for (int64_t i = 0; i < b.relevant; ++i) p *= std::max(0.0, double(b.size - m - i)) / double(b.size - i);
  return p;
}

double discount(int64_t place) { return 1 / std::log2(1 + double(place)); }  // places count from 1

class Recall final : public RankingMetric {
 public:
  using Options = NoOptions;
  explicit Recall(const Options&) {}
  double compute(const RankedQuery& query, int64_t k) const override {
    return expected_hits(query, k) / double(query.relevant);
  }
};

class Hit final : public RankingMetric {
 public:
  using Options = NoOptions;
  explicit Hit(const Options&) {}
  double compute(const RankedQuery& query, int64_t k) const override {
    double missed = 1;
    for (const auto& b : query.blocks) missed *= none_among_first(b, within(b, k));
    return 1 - missed;
  }
};

class ReciprocalRank final : public RankingMetric {
 public:
  using Options = NoOptions;
  explicit ReciprocalRank(const Options&) {}
  /// Of the first relevant item, wherever in its block it may lie; 0 beyond k.
  double compute(const RankedQuery& query, int64_t k) const override {
    if (query.blocks.empty()) return 0;
    const auto& b = query.blocks.front();
    double sum = 0, none = 1;
    for (int64_t m = 1; m <= within(b, k) && none > 0; ++m) {
      const double still = none_among_first(b, m);
      sum += (none - still) / double(b.above + m);
      none = still;
    }
    return sum;
  }
};

class DiscountedGain final : public RankingMetric {
 public:
  using Options = NoOptions;
  explicit DiscountedGain(const Options&) {}
  double compute(const RankedQuery& query, int64_t k) const override {
    double gain = 0, ideal = 0;
    for (const auto& b : query.blocks) {
      double places = 0;
      for (int64_t m = 1; m <= within(b, k); ++m) places += discount(b.above + m);
      gain += double(b.relevant) * places / double(b.size);
    }
    for (int64_t place = 1; place <= std::min(k, query.relevant); ++place) ideal += discount(place);
    return gain / ideal;
  }
};

INTERPLAY_REGISTER(ranking_metrics(), "recall", Recall, "share of a query's relevant items among the first k");
INTERPLAY_REGISTER(ranking_metrics(), "hit", Hit, "share of queries with a relevant item among the first k");
INTERPLAY_REGISTER(ranking_metrics(), "mrr", ReciprocalRank, "one over the place of the first relevant item");
INTERPLAY_REGISTER(ranking_metrics(), "ndcg", DiscountedGain,
                   "discounted gain of the first k over the best there could be");

}  // namespace

RankingMetric::~RankingMetric() = default;

Registry<RankingMetric>& ranking_metrics() {
  static auto* registry = new Registry<RankingMetric>("ranking metric");  // leaked, as every registry
  return *registry;
}

bool is_ranking_metric(const std::string& name) {
  return name.find('@') != std::string::npos || ranking_metrics().has(name);
}

RankingMetricName parse_ranking_metric(const std::string& name) {
  const auto at = name.find('@');
  RankingMetricName out{name.substr(0, at), std::numeric_limits<int64_t>::max()};
  ranking_metrics().find(Config::scalar(out.metric, true));
  if (at == std::string::npos) return out;
  const char* const begin = name.data() + at + 1;
  const char* const end = name.data() + name.size();
  const auto [stop, status] = std::from_chars(begin, end, out.k);
  INTERPLAY_CHECK(status == std::errc() && stop == end && out.k >= 1,
                  "metric '{}': '{}' is no number of places; expected one as in {}@10", name, name.substr(at + 1),
                  out.metric);
  return out;
}

}  // namespace interplay
