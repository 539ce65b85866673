#include "train/run_report.h"

#include <algorithm>
#include <cmath>

#include <interplay/base/progress.h>
#include <interplay/base/stages.h>

namespace fs = std::filesystem;

namespace interplay {
namespace {

using Remark = std::optional<std::string>;

std::string told(const char* metric, const Interval& i) {
  return fmt::format("{} {:.4f} (95% interval {:.4f} to {:.4f})", metric, i.value, i.low, i.high);
}

/// `test, click`: test.
std::string split_of(const ReportSplit& split) { return split.name.substr(0, split.name.find(',')); }

/// The parts of the last split that was judged, one a label.
std::vector<const ReportSplit*> judged(const RunReport& r) {
  std::vector<const ReportSplit*> out;
  for (const auto& split : r.splits) {
    if (split_of(split) == split_of(r.splits.back())) out.push_back(&split);
  }
  return out;
}

/// `test, click`: click; empty where there is one label.
std::string label_of(const ReportSplit& split) {
  const size_t comma = split.name.find(", ");
  return comma == split.name.npos ? "" : split.name.substr(comma + 2);
}

std::string in_words(const ReportSplit& split) {
  std::vector<std::string> parts;
  if (split.auc) parts.push_back(told("AUC", *split.auc));
  if (split.logloss) parts.push_back(told("log loss", *split.logloss));
  for (const auto& m : split.metrics) {
    if (!split.auc && std::isfinite(m.value) && parts.size() < 2)
      parts.push_back(fmt::format("{} {:.4f}", m.display, m.value));
  }
  if (parts.empty()) parts.emplace_back("no metric");
  return fmt::format("{} on {} rows of {}", fmt::join(parts, ", "), split.rows, split.name);
}

std::string in_words(const std::vector<const ReportSplit*>& shown) {
  if (shown.size() == 1) return in_words(*shown.front());
  std::vector<std::string> parts;
  for (const auto* split : shown) {
    if (split->auc) parts.push_back(told(label_of(*split).c_str(), *split->auc));
  }
  return parts.empty() ? fmt::format("no AUC on {}", split_of(*shown.front()))
                       : fmt::format("AUC on {}: {}", split_of(*shown.front()), fmt::join(parts, ", "));
}

const ReportEvaluation* kept(const RunReport& r) {
  const auto found =
      std::find_if(r.evaluations.begin(), r.evaluations.end(), [&](const auto& e) { return e.step == r.best_step; });
  return found == r.evaluations.end() ? nullptr : &*found;
}

Remark on_epochs(const RunReport& r) {
  const ReportEvaluation* const best = kept(r);
  if (!best) return {};
  const ReportEvaluation& last = r.evaluations.back();
  if (best == &last) return "The last evaluation was the best: more epochs may be better still.";
  if (last.train_loss < best->train_loss)
    return fmt::format(
        "Validation was best at epoch {:.3g}; afterwards the training loss went on falling, but validation got no "
        "better.",
        best->epoch);
  return {};
}

Remark on_chance(const std::vector<const ReportSplit*>& shown) {
  std::vector<std::string> names;
  for (const auto* s : shown) {
    if (s->auc && s->auc->low <= 0.5) names.push_back(shown.size() == 1 ? s->name : label_of(*s));
  }
  if (names.empty()) return {};
  return fmt::format("The AUC {} {} cannot be told from guessing, .5.", shown.size() == 1 ? "on" : "of",
                     fmt::join(names, ", "));
}

std::string off_by(double ratio) {
  const double off = ratio - 1;
  if (!std::isfinite(off) || std::abs(off) < 0.01) return "right on average, but not everywhere";
  if (ratio > 2) return fmt::format("{:.1f} times as high as what happened, on average", ratio);
  return fmt::format("{:.0f}% too {} on average", 100 * std::abs(off), off > 0 ? "high" : "low");
}

/// Of the label whose predictions are farthest off.
Remark on_calibration(const std::vector<const ReportSplit*>& shown) {
  const ReportSplit* worst = nullptr;
  const auto beyond_chance = [](const ReportSplit& s) { return s.error ? s.error->low - s.error->by_chance : 0; };
  for (const auto* s : shown) {
    if (beyond_chance(*s) > (worst ? beyond_chance(*worst) : 0)) worst = s;
  }
  if (!worst) return {};
  return fmt::format("Predictions on {} are {} (ECE {:.4f}; {:.4f} would be chance): see interplay calibrate.",
                     worst->name, off_by(worst->error->ratio), worst->error->ece, worst->error->by_chance);
}

/// The field with the most values that training has not seen.
Remark on_unseen(const RunReport& r, const std::string& split) {
  if (!r.data) return {};
  constexpr double kMany = 0.1;
  const SplitCounts::Field* most = nullptr;
  const auto share = [](const SplitCounts::Field& f) { return f.values > 0 ? double(f.unseen) / double(f.values) : 0; };
  for (const auto& counts : r.data->splits) {
    if (counts.split != split) continue;
    for (const auto& f : counts.fields) {
      if (r.data->schema.find(f.name) && share(f) >= (most ? share(*most) : kMany)) most = &f;
    }
  }
  if (!most) return {};
  return fmt::format("{:.0f}% of the values of {} in {} are not in its vocabulary.", 100 * share(*most), most->name,
                     split);
}

Remark on_slices(const RunReport& r) {
  if (!r.explanation || r.explanation->slices.empty()) return {};
  const ReportWorstSlice& worst = r.explanation->slices.front();
  if (worst.excess.low <= 0) return {};
  return fmt::format("It does worst on {} ({} rows): log loss {:.4f} above that of the others.", worst.slice,
                     worst.rows, worst.excess.value);
}

}  // namespace

RunReport begun_report(const Config& config) {
  const Config monitor = config["train"]["monitor"];
  RunReport out;
  out.title = fmt::format("{} on {}", config["model"]["name"].as<std::string>(),
                          fs::weakly_canonical(config["data"].as<std::string>()).filename().string());
  out.config = config.yaml();
  out.monitor = monitor.is_scalar() ? monitor.as<std::string>() : monitor.yaml();
  return out;
}

void fill_report(RunReport& report, const RunSummary& s, const Schema& schema, int64_t train_rows) {
  const std::vector<std::pair<std::string, std::string>> facts{
      {"parameters", human_count(double(s.parameters))},  {"fields", std::to_string(schema.fields().size())},
      {"train rows", std::to_string(train_rows)},         {"training speed", human_count(s.fit.rows_per_s) + " rows/s"},
      {"training time", human_seconds(s.fit.seconds)},    {"time in all", human_seconds(s.seconds)},
      {"peak memory", human_bytes(double(s.peak_bytes))}, {"stopped by", s.fit.stopped_by}};
  report.facts.insert(report.facts.begin(), facts.begin(), facts.end());
  for (size_t i = 0; i < kStages; ++i) report.profile.emplace_back(kStageNames[i], s.fit.stages[i]);
  report.trained_rows = std::llround(s.fit.rows_per_s * s.fit.seconds);
  if (s.fit.best >= 0) report.best_step = s.fit.evaluations[size_t(s.fit.best)].step;
}

ReportData report_data(const fs::path& data, const Schema& schema, std::vector<SplitCounts> rows) {
  ReportData out;
  out.directory = data.string(), out.schema = schema;
  if (fs::exists(data / "manifest.json")) out.files = Manifest::load(data).entries();
  out.splits = read_split_counts(data);
  if (out.splits.empty()) out.splits = std::move(rows);
  return out;
}

void conclude(RunReport& r) {
  const auto shown = r.splits.empty() ? std::vector<const ReportSplit*>() : judged(r);
  std::vector<std::string> parts;
  if (!shown.empty()) parts.push_back(in_words(shown));
  if (const auto* best = kept(r)) {
    parts.push_back(fmt::format("weights of epoch {:.3g} of {:.3g}", best->epoch, r.evaluations.back().epoch));
  }
  r.headline = parts.empty() ? "" : fmt::format("{}.", fmt::join(parts, "; "));
  const auto add = [&](Remark remark) {
    if (remark) r.remarks.push_back(std::move(*remark));
  };
  add(on_chance(shown));
  add(on_epochs(r));
  add(on_calibration(shown));
  if (!shown.empty()) add(on_unseen(r, split_of(*shown.front())));
  add(on_slices(r));
}

}  // namespace interplay
