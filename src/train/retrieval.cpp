#include <interplay/train/retrieval.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <unordered_map>
#include <unordered_set>

#include <ATen/ATen.h>

#include <interplay/base/error.h>
#include <interplay/core/ranking_metric.h>
#include <interplay/core/retriever.h>
#include <interplay/data/no_group.h>
#include <interplay/data/row_facts.h>

#include "train/eval_mode.h"

namespace interplay {
namespace {

constexpr int64_t kQueriesAtOnce = 256;

/// Rows with the item of each; their one label says which are positive.
struct Events : RowFacts {
  std::vector<int32_t> item;
};

Events events_of(const Dataset& rows, const Field& item, const std::string& label, int64_t batch_size) {
  const Dataset few = rows.select(Schema({item}, {label}));
  Events out;
  for (int64_t first = 0; first < few.rows(); first += batch_size) {
    const Batch b = few.slice(first, std::min(batch_size, few.rows() - first));
    const auto ids = b.features.ids.select(1, 0).contiguous();
    out.item.insert(out.item.end(), ids.const_data_ptr<int32_t>(), ids.const_data_ptr<int32_t>() + b.rows());
    out.add(b);
  }
  return out;
}

/// Every known item once, and where its vector is.
struct Catalogue {
  at::Tensor vectors;                           // f32 [N, K]
  std::unordered_map<int32_t, int64_t> places;  // of an item's id
};

class Retrieval {
 public:
  Retrieval(Model& model, const Dataset& rows, const Dataset& train, const RetrievalOptions& options,
            int64_t batch_size, const std::function<void()>& before_batch)
      : retriever_(dynamic_cast<Retriever&>(model)),
        rows_(rows),
        train_(train),
        options_(options),
        batch_(batch_size),
        before_batch_(before_batch) {
    const Schema& schema = rows.schema();
    const auto& labels = schema.labels();
    const std::string label = options.label.empty() && !labels.empty() ? labels.front() : options.label;
    INTERPLAY_CHECK(std::find(labels.begin(), labels.end(), label) != labels.end(),
                    "train.retrieval.label: there is no label '{}' (labels: {})", label, fmt::join(labels, ", "));
    const Field& item = schema.field(retriever_.item_field());
    unknown_ = int32_t(item.rows) - 1;
    events_ = events_of(rows, item, label, batch_size);
    seen_events_ = events_of(train, item, label, batch_size);
    INTERPLAY_CHECK(
        (options.per == "row" && !options.leave_out_seen) || (!events_.group.empty() && !seen_events_.group.empty()),
        "train.retrieval: {} goes by groups, and the data have none; name their column in data.yaml (group: "
        "user_id)",
        options.leave_out_seen ? "leave_out_seen" : "per: group");
    make_catalogue();
    if (options.leave_out_seen) find_seen();
  }

  /// Calls take(query, weight) for each query.
  template <class Take>
  void run(Take&& take) {
    const auto asked = queries();
    for (size_t first = 0; first < asked.size(); first += size_t(kQueriesAtOnce)) {
      if (before_batch_) before_batch_();
      const size_t count = std::min(size_t(kQueriesAtOnce), asked.size() - first);
      std::vector<int64_t> rows;
      for (size_t q = 0; q < count; ++q) rows.push_back(asked[first + q].row);
      const auto vectors = retriever_.queries(rows_.gather(rows).features);          // [Q, K]
      const auto scores = at::matmul(vectors, catalogue_.vectors.t()).contiguous();  // [Q, N]
      for (size_t q = 0; q < count; ++q) {
        float* const of = scores.data_ptr<float>() + int64_t(q) * scores.size(1);
        take(ranked(asked[first + q], of, scores.size(1)), weight_of(asked[first + q].row));
      }
    }
  }

 private:
  struct Query {
    int64_t row;
    std::vector<int32_t> items;  // relevant, each once
  };

  double weight_of(int64_t row) const { return events_.weight.empty() ? 1 : double(events_.weight[size_t(row)]); }

  std::vector<Query> queries() const {
    std::vector<Query> out;
    std::unordered_map<int64_t, size_t> of_group;
    for (size_t r = 0; r < events_.item.size(); ++r) {
      if (!(events_.label[r] >= 0.5f)) continue;
      if (options_.per == "row") {
        out.push_back({int64_t(r), {events_.item[r]}});
        continue;
      }
      if (events_.group[r] == kNoGroup) continue;
      const auto [it, fresh] = of_group.try_emplace(events_.group[r], out.size());
      if (fresh) out.push_back({int64_t(r), {}});
      auto& items = out[it->second].items;
      if (std::find(items.begin(), items.end(), events_.item[r]) == items.end()) items.push_back(events_.item[r]);
    }
    return out;
  }

  void make_catalogue() {
    std::vector<at::Tensor> vectors;
    const auto add = [&](const Dataset& dataset, const Events& events) {
      std::vector<int64_t> rows;
      for (size_t r = 0; r < events.item.size(); ++r) {
        const int32_t item = events.item[r];
        if (item == 0 || item == unknown_) continue;
        if (catalogue_.places.try_emplace(item, int64_t(catalogue_.places.size())).second) rows.push_back(int64_t(r));
      }
      for (size_t first = 0; first < rows.size(); first += size_t(batch_)) {
        if (before_batch_) before_batch_();
        const auto some = std::span(rows).subspan(first, std::min(size_t(batch_), rows.size() - first));
        vectors.push_back(retriever_.items(dataset.gather(some).features));
      }
    };
    add(train_, seen_events_);
    add(rows_, events_);
    INTERPLAY_CHECK_DATA(!vectors.empty(), "{}: has no known item to rank", train_.name());
    catalogue_.vectors = at::cat(vectors);
  }

  void find_seen() {
    for (size_t r = 0; r < seen_events_.item.size(); ++r) {
      if (seen_events_.label[r] >= 0.5f && seen_events_.group[r] != kNoGroup)
        seen_[seen_events_.group[r]].insert(seen_events_.item[r]);
    }
  }

  /// `scores` f32 [N] are overwritten where items are no candidates.
  RankedQuery ranked(const Query& query, float* scores, int64_t count) const {
    if (options_.leave_out_seen) {
      const auto seen = seen_.find(events_.group[size_t(query.row)]);
      if (seen != seen_.end()) {
        for (const int32_t item : seen->second) {
          if (std::find(query.items.begin(), query.items.end(), item) != query.items.end()) continue;
          const auto place = catalogue_.places.find(item);
          if (place != catalogue_.places.end()) scores[place->second] = -std::numeric_limits<float>::infinity();
        }
      }
    }
    RankedQuery out;
    out.relevant = int64_t(query.items.size());
    std::map<float, int64_t, std::greater<>> relevant;  // how many of each score
    for (const int32_t item : query.items) {
      const auto place = catalogue_.places.find(item);
      if (place != catalogue_.places.end()) ++relevant[scores[place->second]];
    }
    for (const auto& [score, number] : relevant) {
      RankedQuery::Block block{0, 0, number};
      for (int64_t i = 0; i < count; ++i) {
        block.above += scores[i] > score;
        block.size += scores[i] == score;
      }
      out.blocks.push_back(block);
    }
    return out;
  }

  Retriever& retriever_;
  Dataset rows_, train_;
  RetrievalOptions options_;
  int64_t batch_;
  const std::function<void()>& before_batch_;
  int32_t unknown_ = 0;
  Events events_, seen_events_;
  Catalogue catalogue_;
  std::unordered_map<int64_t, std::unordered_set<int32_t>> seen_;  // items of each group's training positives
};

}  // namespace

std::vector<MetricValue> evaluate_retrieval(Model& model, const Dataset& rows, const Dataset& train,
                                            const std::vector<std::string>& metrics, const RetrievalOptions& options,
                                            int64_t batch_size, const std::function<void()>& before_batch) {
  std::vector<RankingMetricName> wanted;
  std::vector<std::shared_ptr<RankingMetric>> judges;
  std::vector<MetricValue> values;
  for (const auto& name : metrics) {
    wanted.push_back(parse_ranking_metric(name));
    judges.push_back(ranking_metrics().make(Config::scalar(wanted.back().metric, true)));
    values.push_back({.name = name, .display = name, .value = 0});
  }
  INTERPLAY_CHECK(dynamic_cast<Retriever*>(&model),
                  "{} ranks a catalogue, which this model does not: it is no Retriever, as two_tower is",
                  fmt::join(metrics, ", "));
  const at::NoGradGuard no_grad;
  const EvalMode eval_mode(model);
  double weight = 0;
  Retrieval(model, rows, train, options, batch_size, before_batch).run([&](const RankedQuery& query, double w) {
    weight += w;
    for (size_t m = 0; m < wanted.size(); ++m) values[m].value += w * judges[m]->compute(query, wanted[m].k);
  });
  for (auto& v : values) {
    v.value = v.merit = v.value / weight;  // NaN where there is none
    if (std::isnan(v.value)) v.reason = "there are no positives to find an item for";
  }
  return values;
}

}  // namespace interplay
