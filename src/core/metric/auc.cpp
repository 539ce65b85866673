// Metrics of order: AUC, AUC within groups, average precision. Only the ranking of the logits counts.
#include <interplay/core/metric.h>

#include <algorithm>
#include <unordered_map>

#include <interplay/data/no_group.h>

#include "core/metric/probability.h"
#include "core/ranking.h"

namespace interplay {

namespace {

bool positive(const Predictions& p, size_t row) { return p.label[row] >= 0.5f; }

class Auc final : public Metric {
 public:
  using Options = NoOptions;
  explicit Auc(const Options&) {}
  double compute(const Predictions& p) const override {
    const Ranking ranking(p.logit);
    AucSum auc;
    for (size_t i = 0; i < ranking.size();) {
      double positives = 0, negatives = 0;
      for (const size_t end = ranking.tie_end(i); i < end; ++i) {
        const uint32_t row = ranking.row(i);
        (positive(p, row) ? positives : negatives) += p.weight_of(row);
      }
      auc.add(positives, negatives);
    }
    return auc.value();
  }
  bool higher_is_better() const override { return true; }
  std::string display() const override { return "AUC"; }
};

class GroupAuc final : public Metric {
 public:
  using Options = NoOptions;
  explicit GroupAuc(const Options&) {}

  double compute(const Predictions& p) const override {
    if (p.group.empty()) return kUndefined;
    std::vector<size_t> begin;
    const std::vector<uint64_t> entries = by_group(p, begin);
    double sum = 0, weight = 0;
    for (size_t g = 0; g + 1 < begin.size(); ++g) {
      const AucSum auc = within(p, std::span(entries).subspan(begin[g], begin[g + 1] - begin[g]));
      if (!auc.both_classes()) continue;  // as FuxiCTR: a group of one class says nothing of order
      sum += auc.weight() * auc.value();
      weight += auc.weight();
    }
    return sum / weight;
  }
  bool higher_is_better() const override { return true; }
  std::string display() const override { return "gAUC"; }
  std::string why_undefined(const Predictions& p) const override {
    if (p.rows() > 0 && p.group.empty()) return "the data has no group column";
    if (p.rows() == 0) return Metric::why_undefined(p);
    const bool any = std::any_of(p.group.begin(), p.group.end(), [](int64_t group) { return group != kNoGroup; });
    return any ? "no group has both classes" : "every row's group is empty";
  }

 private:
  // The ranking's entries, group after group, each in its order: a counting sort by group keeps it. Group g owns
  // [begin[g], begin[g + 1]). Rows that are nobody's come last, and are no group.
  static std::vector<uint64_t> by_group(const Predictions& p, std::vector<size_t>& begin) {
    std::unordered_map<int64_t, uint32_t> numbers;
    std::vector<uint32_t> number(p.group.size());  // [N] groups numbered 0, 1, ... by first appearance
    for (size_t i = 0; i < number.size(); ++i) {
      if (p.group[i] != kNoGroup) number[i] = numbers.emplace(p.group[i], uint32_t(numbers.size())).first->second;
    }
    const auto nobody = uint32_t(numbers.size());
    for (size_t i = 0; i < number.size(); ++i) {
      if (p.group[i] == kNoGroup) number[i] = nobody;
    }
    begin.assign(numbers.size() + 2, 0);
    for (const uint32_t g : number) ++begin[g + 1];
    for (size_t g = 0; g + 1 < begin.size(); ++g) begin[g + 1] += begin[g];
    std::vector<size_t> next(begin.begin(), begin.end() - 1);
    const Ranking ranking(p.logit);
    std::vector<uint64_t> entries(ranking.size());
    for (const uint64_t e : ranking.entries()) entries[next[number[uint32_t(e)]]++] = e;
    begin.pop_back();
    return entries;
  }

  static AucSum within(const Predictions& p, std::span<const uint64_t> entries) {
    AucSum auc;
    for (size_t i = 0; i < entries.size();) {
      double positives = 0, negatives = 0;
      const uint64_t key = entries[i] >> 32;
      for (; i < entries.size() && entries[i] >> 32 == key; ++i) {
        const auto row = uint32_t(entries[i]);
        (positive(p, row) ? positives : negatives) += p.weight_of(row);
      }
      auc.add(positives, negatives);
    }
    return auc;
  }
};

class AveragePrecision final : public Metric {
 public:
  using Options = NoOptions;
  explicit AveragePrecision(const Options&) {}
  // sum over thresholds of (recall gained) x (precision there), by falling logit, ties at once: as scikit-learn's
  // average_precision_score, without interpolation.
  double compute(const Predictions& p) const override {
    const Ranking ranking(p.logit);
    double hits = 0, seen = 0, sum = 0;
    for (size_t i = ranking.size(); i > 0;) {
      double gained = 0;
      const size_t top = i - 1;
      for (; i > 0 && ranking.tied(i - 1, top); --i) {
        const uint32_t row = ranking.row(i - 1);
        if (positive(p, row)) gained += p.weight_of(row);
        seen += p.weight_of(row);
      }
      hits += gained;
      if (gained > 0) sum += gained * hits / seen;
    }
    return sum / hits;
  }
  bool higher_is_better() const override { return true; }
  std::string display() const override { return "PR-AUC"; }
  std::string why_undefined(const Predictions& p) const override {
    return p.rows() == 0 ? Metric::why_undefined(p) : "there are no positives";
  }
};

INTERPLAY_REGISTER(metrics(), "auc", Auc, "area under the ROC curve, exact, ties count half");
INTERPLAY_REGISTER(metrics(), "gauc", GroupAuc,
                   "AUC within each group, weighted by its rows; groups of one class left out");
INTERPLAY_REGISTER(metrics(), "pr_auc", AveragePrecision, "area under precision over recall: average precision");

}  // namespace
}  // namespace interplay
