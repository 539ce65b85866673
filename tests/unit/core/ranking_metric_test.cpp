#include <interplay/core/ranking_metric.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/error_of.h"

namespace interplay::ranking_metric_test {
namespace {

using ::testing::HasSubstr;

/// A catalogue small enough to try every order of its ties: scores, and which items are relevant.
struct Small {
  std::vector<int> score;
  std::vector<bool> relevant;

  RankedQuery query() const {
    RankedQuery q;
    q.relevant = std::count(relevant.begin(), relevant.end(), true);
    for (int s = 9; s >= 0; --s) {
      RankedQuery::Block b{0, 0, 0};
      for (size_t i = 0; i < score.size(); ++i) {
        b.above += score[i] > s, b.size += score[i] == s;
        b.relevant += score[i] == s && relevant[i];
      }
      if (b.relevant > 0) q.blocks.push_back(b);
    }
    return q;
  }

  /// Mean of f(places of the relevant items, from 1) over all orders in which scores fall.
  double over_orders(const std::function<double(const std::vector<int>&)>& f) const {
    std::vector<int> order(score.size());
    std::iota(order.begin(), order.end(), 0);
    double sum = 0, count = 0;
    do {
      bool falls = true;
      for (size_t i = 1; i < order.size(); ++i) falls = falls && score[size_t(order[i - 1])] >= score[size_t(order[i])];
      if (!falls) continue;
      std::vector<int> places;
      for (size_t i = 0; i < order.size(); ++i) {
        if (relevant[size_t(order[i])]) places.push_back(int(i) + 1);
      }
      sum += f(places), ++count;
    } while (std::next_permutation(order.begin(), order.end()));
    return sum / count;
  }
};

double value(const std::string& metric, const RankedQuery& query, int64_t k) {
  return ranking_metrics().make(Config::scalar(metric))->compute(query, k);
}

TEST(RankingMetrics, AreTheMeanOverAllOrdersOfTies) {
  const std::vector<Small> all{{{3, 2, 1, 0}, {false, true, false, false}},
                               {{1, 1, 1, 1, 1}, {true, false, false, true, false}},
                               {{5, 4, 4, 4, 1, 1}, {false, true, false, true, true, false}},
                               {{2, 2, 2, 0}, {false, false, true, false}},
                               {{4, 4, 3, 3, 3, 0}, {true, false, true, true, false, false}}};
  for (const Small& small : all) {
    for (int k = 1; k <= 7; ++k) {
      const auto hits = [&](const std::vector<int>& places) {
        return double(std::count_if(places.begin(), places.end(), [&](int p) { return p <= k; }));
      };
      const double relevant = double(small.query().relevant);
      double ideal = 0;
      for (int p = 1; p <= std::min<int>(k, int(relevant)); ++p) ideal += 1 / std::log2(1 + p);
      EXPECT_NEAR(value("recall", small.query(), k),
                  small.over_orders([&](const auto& p) { return hits(p) / relevant; }), 1e-12);
      EXPECT_NEAR(value("hit", small.query(), k),
                  small.over_orders([&](const auto& p) { return hits(p) > 0 ? 1. : 0.; }), 1e-12);
      EXPECT_NEAR(value("mrr", small.query(), k),
                  small.over_orders([&](const auto& p) { return p[0] <= k ? 1. / p[0] : 0.; }), 1e-12);
      EXPECT_NEAR(value("ndcg", small.query(), k), small.over_orders([&](const auto& places) {
        double gain = 0;
        for (const int p : places) gain += p <= k ? 1 / std::log2(1 + p) : 0;
        return gain / ideal;
      }),
                  1e-12);
    }
  }
}

TEST(RankingMetrics, AnItemThatTheCatalogueLacksIsMissed) {
  const RankedQuery none{{}, 1}, half{{{0, 1, 1}}, 2};
  for (const auto& metric : ranking_metrics().names()) EXPECT_EQ(value(metric, none, 10), 0) << metric;
  EXPECT_EQ(value("recall", half, 10), 0.5);
}

TEST(RankingMetrics, AreAskedForByNameAndPlaces) {
  EXPECT_EQ(parse_ranking_metric("ndcg@10").metric, "ndcg");
  EXPECT_EQ(parse_ranking_metric("ndcg@10").k, 10);
  EXPECT_GT(parse_ranking_metric("mrr").k, int64_t{1} << 60);
  EXPECT_TRUE(is_ranking_metric("mrr") && is_ranking_metric("x@3") && !is_ranking_metric("auc"));
  EXPECT_THAT(testing::config_error([] { parse_ranking_metric("ndgc@10"); }), HasSubstr("ndcg"));
  for (const char* wrong : {"ndcg@", "ndcg@0", "ndcg@ten", "ndcg@1.5"})
    EXPECT_THAT(testing::config_error([&] { parse_ranking_metric(wrong); }), HasSubstr("ndcg@10")) << wrong;
}

}  // namespace
}  // namespace interplay::ranking_metric_test
