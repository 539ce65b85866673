#include <algorithm>
#include <cmath>
#include <limits>

#include <interplay/data/number.h>

#include "data/check/advice.h"

namespace interplay {
namespace {

/// Rows that are trained on though they happened after those that are held out.
class TimeOverlap final : public Check {
 public:
  using Options = NoOptions;
  TimeOverlap(const CheckedData& data, const Options&) : data_(data), column_(time_column(data)) {}

  void see(const CheckedBatch& batch) override {
    if (column_.empty()) return;
    const RawColumn& column = batch.values.raw.column(column_);
    for (size_t i = 0; i < batch.splits.size(); ++i) {
      double time = 0;
      if (batch.splits[i] > 2 || !number(column, batch.values.rows[i], time)) continue;
      Span& span = spans_[batch.splits[i]];
      span.first = std::min(span.first, time), span.last = std::max(span.last, time);
    }
  }

  void judge(const CheckFacts& facts, CheckReport& report) const override {
    for (size_t s = 1; s < 3 && !column_.empty(); ++s) {
      if (facts.rows[0] > 0 && facts.rows[s] > 0 && spans_[0].last > spans_[s].first) tell(facts, s, report);
      if (facts.rows[0] > 0 && facts.rows[s] > 0) return;  // that of valid says it for test
    }
  }

 private:
  struct Span {
    double first = std::numeric_limits<double>::infinity(), last = -first;
  };

  static bool number(const RawColumn& column, int32_t row, double& time) {
    return !column.is_list() && !column.missing(row) && parse_number(column.cell(row), time);
  }

  void tell(const CheckFacts& facts, size_t s, CheckReport& report) const {
    constexpr double kNote = 0.01;
    const SampledRows& train = facts.sample[0];
    const RawColumn& column = train.values.raw.column(column_);
    const auto later = [&](int64_t i) {
      double time = 0;
      return number(column, int32_t(i), time) && time > spans_[s].first;
    };
    int64_t count = 0;
    for (int64_t i = 0; i < train.rows(); ++i) count += later(i) ? 1 : 0;
    const double share = double(count) / double(train.rows());
    const auto& split = data_.spec.options.split;
    const bool by_user = split && split->of_users();
    Finding& f = report.findings.emplace_back();
    f.severity = by_user || share < kNote ? Finding::Severity::note : Finding::Severity::warning;
    f.text = fmt::format("{} of the training rows are later ({}) than the first of {}: train {} to {}, {} {} to {}",
                         percent(share), column_, kCheckedSplits[s], told(spans_[0].first), told(spans_[0].last),
                         kCheckedSplits[s], told(spans_[s].first), told(spans_[s].last));
    for (int64_t i = 0; i < train.rows() && f.rows.size() < kShownRows; ++i) {
      if (later(i)) f.rows.push_back(shown_row(facts, train, i, {column_}));
    }
    f.remedy = by_user ? fmt::format(
                             "that is what {} does: figures say how well users' later rows are predicted, with "
                             "others' rows of that time known. For the rows of a later time:",
                             split->by)
                       : "a model that is used on later rows should be judged on later rows";
    if (split) f.yaml = fmt::format("split:\n  by: time\n  {}\n  ratios: [{}]\n", time_entry(), ratios());
    if (!split) f.remedy += "; cut the files by time, or name them all as one source: `file` with `split: {by: time}`";
  }

  static std::string told(double time) {
    return time == std::round(time) && std::fabs(time) < 1e15 ? fmt::format("{:.0f}", time) : fmt::format("{}", time);
  }
  std::string time_entry() const {
    Config entry;
    entry.set("time", Config::scalar(column_, true));
    std::string text = entry.yaml();
    while (text.ends_with('\n')) text.pop_back();
    return text;
  }
  std::string ratios() const {
    const auto& split = *data_.spec.options.split;
    return split.by == "user_last" ? "0.8, 0.1, 0.1" : fmt::format("{}", fmt::join(split.ratios, ", "));
  }

  const CheckedData& data_;
  std::string column_;
  std::array<Span, 3> spans_;
};

INTERPLAY_REGISTER(checks(), "time_overlap", TimeOverlap, "training rows that are later than held-out ones");

}  // namespace
}  // namespace interplay
