#include <algorithm>
#include <cmath>

#include "data/check/advice.h"

namespace interplay {
namespace {

/// Share of positives, by split and label.
class LabelRate final : public Check {
 public:
  using Options = NoOptions;
  LabelRate(const CheckedData& data, const Options&) : labels_(data.spec.labels.size()) {
    for (auto& split : counts_) split.resize(labels_);
  }

  void see(const CheckedBatch& batch) override {
    for (size_t i = 0; i < batch.splits.size(); ++i) {
      if (batch.splits[i] > 2) continue;
      for (size_t t = 0; t < labels_; ++t) {
        const float label = batch.values.labels[size_t(batch.values.rows[i]) * labels_ + t];
        if (std::isnan(label)) continue;
        ++counts_[batch.splits[i]][t].rows;
        counts_[batch.splits[i]][t].positive += label > 0 ? 1 : 0;
      }
    }
  }

  void judge(const CheckFacts& facts, CheckReport& report) const override {
    for (auto& split : report.splits) {
      const size_t s = size_t(std::find(kCheckedSplits, kCheckedSplits + 3, split.name) - kCheckedSplits);
      for (size_t t = 0; t < labels_; ++t) {
        split.label_rates.push_back(counts_[s][t].rate());
        tell_one_class(facts, s, t, report);
        if (s > 0) tell_shift(facts, s, t, report);
      }
    }
  }

 private:
  struct Count {
    int64_t rows = 0, positive = 0;
    double rate() const { return double(positive) / double(rows); }  // NaN where there is no row
  };

  void tell_one_class(const CheckFacts& facts, size_t s, size_t t, CheckReport& report) const {
    const Count& c = counts_[s][t];
    if (c.positive > 0 && c.positive < c.rows) return;
    Finding& f = report.findings.emplace_back();
    f.severity = Finding::Severity::severe;
    const LabelOptions& label = facts.data.spec.labels[t];
    f.text = c.rows == 0 ? fmt::format("no {} row has the label '{}'", kCheckedSplits[s], label.name)
                         : fmt::format("label '{}' is {} in all {} {} rows that have it: {}", label.name,
                                       c.positive > 0 ? 1 : 0, c.rows, kCheckedSplits[s],
                                       s == 0 ? "there is nothing to learn" : "AUC is undefined there");
    for (int64_t i = 0; i < std::min<int64_t>(kShownRows, facts.sample[s].rows()); ++i)
      f.rows.push_back(shown_row(facts, facts.sample[s], i, {}));
    f.remedy = "see whether the label's column and threshold are the ones meant, and whether the split is";
  }

  /// Further from the training rows' rate than chance and a tenth of it.
  void tell_shift(const CheckFacts& facts, size_t s, size_t t, CheckReport& report) const {
    constexpr double kShare = 0.1, kWarning = 0.5, kDeviations = 4;
    const Count &train = counts_[0][t], &other = counts_[s][t];
    if (train.positive == 0 || other.rows == 0 || other.positive == 0 || train.positive == train.rows) return;
    const double all = double(train.positive + other.positive) / double(train.rows + other.rows);
    const double error = std::sqrt(all * (1 - all) * (1 / double(train.rows) + 1 / double(other.rows)));
    const double change = other.rate() / train.rate() - 1;
    if (std::fabs(change) < kShare || std::fabs(other.rate() - train.rate()) < kDeviations * error) return;
    Finding& f = report.findings.emplace_back();
    f.severity = std::fabs(change) < kWarning ? Finding::Severity::note : Finding::Severity::warning;
    f.text =
        fmt::format("label '{}' is 1 in {} of the {} rows, and in {} of the training rows",
                    facts.data.spec.labels[t].name, percent(other.rate()), kCheckedSplits[s], percent(train.rate()));
    f.remedy = "probabilities learnt in training are off there by as much: logloss tells, AUC does not";
  }

  size_t labels_;
  std::array<std::vector<Count>, 3> counts_;  // by split and label
};

INTERPLAY_REGISTER(checks(), "label_rate", LabelRate, "splits whose label is all one class, or more or less often 1");

}  // namespace
}  // namespace interplay
