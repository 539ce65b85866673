#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <interplay/base/registry.h>

namespace interplay {

/// Where the relevant items of one query came in a ranked catalogue. Items of equal score share a block: any order of
/// them is as likely, and metrics are the mean over all of these.
struct RankedQuery {
  struct Block {
    int64_t above = 0;     ///< items that are ranked higher
    int64_t size = 1;      ///< items of this score
    int64_t relevant = 1;  ///< of these
  };
  std::vector<Block> blocks = {};  ///< those with relevant items, by rising `above`
  int64_t relevant = 0;            ///< items that should have been found, also those that the catalogue lacks
};

/// One number that judges the ranking of a whole catalogue for one query, up to place k. Immutable, so it may be used
/// from any thread.
///
/// A new one is one file: a class with `using Options = interplay::NoOptions` and
/// INTERPLAY_REGISTER(interplay::ranking_metrics(), "recall", Recall, "..."). It is asked for as `recall@10`.
class INTERPLAY_API RankingMetric {
 public:
  virtual ~RankingMetric();
  virtual double compute(const RankedQuery& query, int64_t k) const = 0;  ///< 0 to 1, higher is better
};

INTERPLAY_API Registry<RankingMetric>& ranking_metrics();

/// `ndcg@10` as metric and k; `mrr` alone has k = all places.
struct RankingMetricName {
  std::string metric;
  int64_t k;
};
/// Whether a name of a metric is one of these: it has an @, or is registered here.
INTERPLAY_API bool is_ranking_metric(const std::string& name);
/// Throws Error(config) for a metric that there is not, or a k that is no whole number above 0.
INTERPLAY_API RankingMetricName parse_ranking_metric(const std::string& name);

}  // namespace interplay
