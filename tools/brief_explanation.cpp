#include "brief_explanation.h"

#include <algorithm>
#include <chrono>

#include <interplay/base/progress.h>
#include <interplay/explain/explanation.h>

namespace interplay::tool {
namespace {

constexpr int64_t kFewestRows = 200, kMostRows = 10000;
constexpr int64_t kMostIds = 1000000;  // of vocabularies, which slices are named by: they have to be read

/// A field is shuffled once; twice more the rows are scored as they are. Training takes longer for a row than scoring.
int64_t affordable_rows(const RunReport& report, double seconds) {
  double training = 0;
  for (const auto& stage : report.profile) training += stage.second;
  if (training <= 0 || !report.data) return 0;
  const double scored = double(report.data->schema.fields().size() + 2);
  return int64_t(seconds * double(report.trained_rows) / training / scored);
}

int64_t ids(const Schema& schema) {
  int64_t out = 0;
  for (const auto& table : schema.tables()) out += table.rows;
  return out;
}

std::string split_of(const RunReport& report) {
  const auto has = [&](const char* wanted) {
    return std::any_of(report.splits.begin(), report.splits.end(),
                       [&](const auto& split) { return split.name.substr(0, split.name.find(',')) == wanted; });
  };
  return has("valid") ? "valid" : has("test") ? "test" : "";
}

void take_over(const Explanation& from, ReportExplanation& to) {
  for (const auto& field : from.fields) to.fields.push_back({field.group.name, field.loss, field.auc});
  if (!from.slices) return;
  to.slices_looked_at = from.slices->looked_at;
  for (size_t i = 0; i < from.slices->by_loss.size(); ++i) {
    const RowSlice& slice = from.slices->by_loss[i];
    to.slices.push_back({fmt::format("{} = {}", slice.field, from.by_loss_values[i]), slice.rows, slice.mean_p,
                         slice.observed, slice.excess});
  }
}

}  // namespace

ReportExplanation brief_explanation(const RunReport& report, const BriefExplanationOptions& o) {
  ReportExplanation out;
  const std::string command = fmt::format("interplay explain {}", o.run.string());
  const int64_t rows = std::min(affordable_rows(report, o.seconds), kMostRows);
  if (o.seconds <= 0 || rows < kFewestRows || split_of(report).empty()) {
    out.told =
        fmt::format("Not looked at{}. `{}` tells.",
                    o.seconds > 0 && rows < kFewestRows ? fmt::format(" within {:g} s", o.seconds) : "", command);
    return out;
  }
  const auto begun = std::chrono::steady_clock::now();
  ExplainOptions options{.data = o.data, .split = split_of(report), .rows = rows, .progress = false};
  options.label = report.data->schema.labels().front();
  options.importance.repeats = 1, options.importance.replicates = 200;
  options.slices = ids(report.data->schema) <= kMostIds;
  options.slice.most = 10;
  try {
    const Explanation e = explain_run(o.run, options);
    take_over(e, out);
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count();
    out.told = fmt::format(
        "Of {}{} of {} rows of {}, each field shuffled once, in {} of at most {:g} s. `{}` takes more rows, and has "
        "pairs, single rows and curves.",
        report.data->schema.labels().size() > 1 ? options.label + ": " : "", e.rows, e.of_rows, options.split,
        human_seconds(seconds), o.seconds, command);
  } catch (const Error& problem) {
    out.told = fmt::format("Not looked at: {}", problem.what());
  }
  return out;
}

}  // namespace interplay::tool
