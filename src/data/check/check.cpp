#include <interplay/data/check.h>

#include <algorithm>
#include <optional>
#include <thread>

#include <interplay/base/error.h>

#include "data/check/checks.h"

namespace interplay {
namespace {

/// Three passes at most: the order of rows where it matters, then what every check wants to see and the sample, then
/// how often the sample's tokens are in the training rows.
class DataCheck {
 public:
  DataCheck(const Config& yaml, const CheckOptions& options)
      : yaml_(yaml), spec_(DataSpec::parse(yaml)), parser_(spec_.plain_schema(), spec_), plan_(spec_, parser_) {
    const int threads = options.threads > 0 ? options.threads : std::max(1, int(std::thread::hardware_concurrency()));
    rows_.emplace(spec_, parser_, plan_.columns(), threads);
    samples_.assign(3, RowSample(options.rows));
    for (const auto& name : checks().names())
      checks_.emplace_back(name, checks().make(data_, Config::scalar(name, true)));
  }

  CheckReport run() {
    if (plan_.needs_order()) {
      const auto add = [&](RawRows::Batch& batch) { plan_.add(batch.raw, batch.values, parser_); };
      BadRowCounts told;  // and told of again below
      rows_->run({"check: order", add, nullptr}, told);
      plan_.finish();
    }
    rows_->run({"check: rows", [&](RawRows::Batch& batch) { see(batch); }, nullptr}, bad_rows_);
    INTERPLAY_CHECK_DATA(counts_[0] > 0 || bad_rows_.rows() > 0,
                         "{}: there are no training rows; nothing can be checked", rows_->first_file().string());
    std::array<SampledRows, 3> sample;
    for (size_t s = 0; s < 3; ++s) sample[s] = samples_[s].finish(parser_);
    TokenRates rates(parser_, sample);
    BadRowCounts told;
    rows_->run({"check: values", [&](RawRows::Batch& batch) { rates.see(checked(batch)); }, nullptr}, told);
    judge({data_, sample, rates, bad_rows_, counts_, rows_->rows()});
    return std::move(report_);
  }

 private:
  CheckedBatch checked(RawRows::Batch& batch) const {
    for (size_t i = 0; i < batch.values.rows.size(); ++i)
      batch.splits.push_back(plan_.split_of(batch.first + int64_t(i), batch.split));
    return {batch.values, batch.splits, batch.first};
  }

  void see(RawRows::Batch& batch) {
    const CheckedBatch seen = checked(batch);
    report_.left_out_rows += batch.values.left_out;
    std::array<std::vector<int32_t>, 4> rows;  // by split, and of none
    std::array<std::vector<int64_t>, 4> numbers;
    for (size_t i = 0; i < seen.splits.size(); ++i) {
      rows[seen.splits[i]].push_back(batch.values.rows[i]);
      numbers[seen.splits[i]].push_back(batch.first + int64_t(i));
    }
    report_.left_out_rows += int64_t(rows[SamplePlan::kNoSplit].size());
    for (size_t s = 0; s < 3; ++s) {
      counts_[s] += int64_t(rows[s].size());
      samples_[s].add(batch.raw, rows[s], numbers[s]);
    }
    for (const auto& [name, check] : checks_) check->see(seen);
  }

  void judge(const CheckFacts& facts) {
    report_.unusable_rows = bad_rows_.rows();
    report_.labels = spec_.label_names();
    for (size_t s = 0; s < 3; ++s) {
      if (counts_[s] > 0) report_.splits.push_back({kCheckedSplits[s], counts_[s], {}});
    }
    for (size_t f = 0; f < parser_.schema().fields().size(); ++f) {
      const Field& field = parser_.schema().fields()[f];
      report_.fields.push_back({field.name, parser_.makes_buckets(f) ? "numeric" : to_string(field.kind), {}});
    }
    for (const auto& [name, check] : checks_) {
      const size_t before = report_.findings.size();
      check->judge(facts, report_);
      for (size_t i = before; i < report_.findings.size(); ++i) report_.findings[i].check = name;
    }
    std::stable_sort(report_.findings.begin(), report_.findings.end(),
                     [](const Finding& a, const Finding& b) { return a.severity > b.severity; });
  }

  const Config& yaml_;
  DataSpec spec_;
  RowParser parser_;
  SamplePlan plan_;
  CheckedData data_{yaml_, spec_, parser_, plan_};
  std::optional<RawRows> rows_;
  std::vector<std::pair<std::string, std::shared_ptr<Check>>> checks_;
  std::vector<RowSample> samples_;
  std::array<int64_t, 3> counts_{};
  BadRowCounts bad_rows_;
  CheckReport report_;
};

}  // namespace

Check::~Check() = default;

Registry<Check, const CheckedData&>& checks() {
  static auto* const registry = new Registry<Check, const CheckedData&>("check");
  return *registry;
}

std::string to_string(Finding::Severity severity) {
  constexpr const char* kNames[] = {"note", "warning", "severe"};
  return kNames[size_t(severity)];
}

int64_t CheckReport::count(Finding::Severity severity) const {
  return std::count_if(findings.begin(), findings.end(), [&](const Finding& f) { return f.severity == severity; });
}

CheckReport check_data(const Config& data, const CheckOptions& options) { return DataCheck(data, options).run(); }

}  // namespace interplay
