// interplay calibrate RUN: a map from logits to rates that are observed, fitted on a held-out split, kept in the run.
#include <cmath>
#include <optional>

#include <interplay/base/files.h>
#include <interplay/base/log.h>
#include <interplay/core/bundle.h>
#include <interplay/core/calibration.h>
#include <interplay/data/encoder.h>
#include <interplay/data/row_facts.h>
#include <interplay/train/calibration_report.h>
#include <interplay/train/evaluator.h>

#include "command.h"
#include "run_data.h"

namespace interplay::tool::calibrate_command {
namespace {

namespace fs = std::filesystem;

constexpr const char* kJudged = "test";
constexpr size_t kShownSlices = 20;
constexpr int64_t kFew = 100;

struct Arguments {
  std::string run, data;
  CalibrateOptions options;
  int64_t batch_size = 4096;
  bool remove = false, json = false;
};

/// What can be said before rows are scored.
void check(const Arguments& a, const Bundle& bundle) {
  const CalibrateOptions& o = a.options;
  INTERPLAY_CHECK_DATA(bundle.finished(), "{}: is not finished; a run is calibrated once it is", a.run);
  calibrators().find(Config::scalar(o.method, true));
  if (!o.by.empty()) check_by(o.by, bundle.schema());  // of the run: its rows have it wherever they are scored
  INTERPLAY_CHECK(o.sampled > 0 && o.sampled <= 1,
                  "--sampled {}: expected the share of negatives that the data have left, above 0 and at most 1",
                  o.sampled);
  const auto& labels = bundle.schema().labels();
  INTERPLAY_CHECK(o.sampled == 1 || labels.size() == 1 || !o.sampled_label.empty(),
                  "--sampled: which of the labels {} had its negatives sampled? Name it: --sampled-label",
                  fmt::join(labels, ", "));
}

struct Scored {
  Dataset rows;
  Predictions own;
};

Scored score(const Arguments& a, const Bundle& bundle, const fs::path& data, const std::string& split) {
  Scored out{Dataset::open(data, split).select(bundle.schema()), {}};
  const auto model = bundle.model();
  out.own = predict(*model, out.rows,
                    {a.batch_size, at::kCPU, bundle.logit_offsets(), nn::Precision::fp32, "score " + split});
  INTERPLAY_CHECK(!out.own.logit.empty() || out.rows.rows() == 0,
                  "{}: the model gives no logits yet: it was pre-trained, and no rows can be scored by it", a.run);
  INTERPLAY_CHECK_DATA(out.rows.rows() > 0, "{}: has no rows to calibrate by", out.rows.name());
  undo_sampling(out.own, a.options.sampled, a.options.sampled_label, bundle.schema());
  return out;
}

std::string parameters_of(const Calibrator& map) {
  const Config parameters = map.parameters();
  std::vector<std::string> out;
  for (const auto& key : parameters.keys()) {
    const Config value = parameters[key];
    out.push_back(value.is_sequence() ? fmt::format("{} of {}", value.size(), key)
                                      : fmt::format("{} {:.4f}", key, value.as<double>()));
  }
  return fmt::format("{}", fmt::join(out, ", "));
}

/// What was fitted, a line a fact.
std::vector<std::pair<std::string, std::string>> facts_of(const Calibration& calibration) {
  const CalibrateOptions& o = calibration.options();
  std::vector<std::pair<std::string, std::string>> out{{"method", o.method}, {"fitted on", o.split}};
  if (o.sampled < 1) {
    out.emplace_back("sampled", fmt::format("{} of the negatives were kept: each counts {:.4g} times, and a logit is "
                                            "shifted by {:.4f} before its map",
                                            o.sampled, 1 / o.sampled, std::log(o.sampled)));
  }
  for (const auto& maps : calibration.labels()) {
    out.emplace_back(maps.name, fmt::format("{} rows, {}", maps.rows, parameters_of(*maps.shared)));
    if (!o.by.empty()) {
      out.emplace_back(fmt::format("{} by {}", maps.name, o.by),
                       fmt::format("values with a map of their own (both classes in at least {} rows): {}; the others "
                                   "share that of all rows",
                                   o.min_rows, maps.slices.size()));
    }
  }
  return out;
}

std::string number(double v, int digits = 6) { return std::isfinite(v) ? fmt::format("{:.{}f}", v, digits) : "n/a"; }

std::string interval(const CalibrationError& e) {
  return std::isfinite(e.low) ? fmt::format("{:.4f} to {:.4f}", e.low, e.high) : "n/a";
}

std::string figures_table(const std::vector<CalibrationPart>& parts) {
  std::vector<std::vector<std::string>> rows{
      {"logits", "AUC", "logloss", "ECE", "95% interval", "by chance", "largest gap", "mean p / label"}};
  for (const auto& part : parts) {
    for (const auto& f : part.figures) {
      rows.push_back({parts.size() > 1 ? fmt::format("{} {}", part.label, f.name) : f.name, number(f.auc),
                      number(f.logloss), number(f.error.ece), interval(f.error), number(f.error.by_chance),
                      number(f.error.largest_gap), number(f.error.ratio, 4)});
    }
  }
  return table(rows);
}

std::string slices_table(const CalibrationReport& report) {
  std::vector<std::vector<std::string>> rows{
      {report.field, "rows", "logloss", "after", "ECE", "95% interval", "after", "95% interval", "by chance"}};
  for (size_t i = 0; i < std::min(report.slices.size(), kShownSlices); ++i) {
    const auto& s = report.slices[i];
    const std::string name = report.parts.size() > 1 ? fmt::format("{} {}", s.label, s.slice) : s.slice;
    if (s.figures.empty()) continue;
    const auto &before = s.figures.front(), &after = s.figures.back();
    rows.push_back({name, std::to_string(s.rows), number(before.logloss), number(after.logloss),
                    number(before.error.ece), interval(before.error), number(after.error.ece), interval(after.error),
                    number(after.error.by_chance)});
  }
  const size_t left = report.slices.size() - std::min(report.slices.size(), kShownSlices);
  return table(rows) + (left > 0 ? fmt::format("{} more in the page\n", left) : "");
}

void print(const Arguments& a, const CalibrationReport& report) {
  for (const auto& [name, value] : report.facts) fmt::print("{}: {}\n", name, value);
  if (!report.parts.empty()) {
    fmt::print("\n{}, {} rows\n{}", report.split, report.parts[0].rows, figures_table(report.parts));
    if (!report.slices.empty()) fmt::print("\n{}", slices_table(report));
  }
  fmt::print("\n{}\n", (fs::path(a.run) / Calibration::kPage).string());
}

/// A map follows chance where there are few rows of either kind.
void warn_of_few(const Predictions& fitted, const std::vector<std::string>& labels, const std::string& split) {
  for (size_t t = 0; t < labels.size(); ++t) {
    int64_t rows[2] = {};
    for (size_t i = t; i < fitted.label.size(); i += labels.size()) {
      if (!std::isnan(fitted.label[i])) ++rows[fitted.label[i] > 0];
    }
    if (std::min(rows[0], rows[1]) >= kFew) continue;
    log::warning(
        "label {}: {} has {} rows of 1 and {} of 0; a map fitted on fewer than {} of either follows chance; take "
        "more rows",
        labels[t], split, rows[1], rows[0], kFew);
  }
}

void calibrate(const Arguments& a) {
  if (a.remove) {
    INTERPLAY_CHECK_DATA(fs::is_directory(a.run), "{}: no such run directory", a.run);
    INTERPLAY_CHECK(Calibration::remove(a.run), "--remove: {} is not calibrated", a.run);
    return;
  }
  const Bundle bundle = Bundle::open_uncalibrated(a.run);
  check(a, bundle);
  const fs::path data = data_of(a.data, bundle);
  bundle.check_data(data);
  if (a.options.split == kJudged) log::warning("--split test: the figures are of the rows that the map was fitted to");
  if (a.options.split == "train")
    log::warning("--split train: a model is surer of rows it has learnt from than of others");
  const Scored fitted = score(a, bundle, data, a.options.split);
  warn_of_few(fitted.own, bundle.schema().labels(), a.options.split);
  const auto ids = a.options.by.empty() ? std::vector<int32_t>() : ids_of(fitted.rows, a.options.by);
  const auto calibration = Calibration::fit(fitted.own, ids, bundle.schema(), a.options);
  CalibrationReport report;
  if (Dataset::exists(data, kJudged) && Dataset::open(data, kJudged).rows() > 0) {
    const Scored judged = a.options.split == kJudged ? fitted : score(a, bundle, data, kJudged);
    const Encoder encoder = Encoder::load(a.run);
    report = report_calibration(calibration, judged.own, judged.rows, [&](int32_t id) {
      return value_name(encoder, *calibration.field(bundle.schema()), id);
    });
  }
  report.title = fmt::format("{}, calibrated", fs::weakly_canonical(a.run).filename().string());
  report.split = kJudged;
  report.facts = facts_of(calibration);
  calibration.save(a.run, calibration_html(report));
  a.json ? fmt::print("{}\n", calibration_json(report)) : print(a, report);
}

std::function<void()> add(CLI::App& app) {
  auto a = std::make_shared<Arguments>();
  CalibrateOptions& o = a->options;
  app.add_option("RUN", a->run, "run directory, of a finished run")->required();
  app.add_option("--data", a->data, "prepared data; those the run was trained on by default");
  app.add_option("--split", o.split, "what the map is fitted on; figures are of test")->capture_default_str();
  app.add_option("--method", o.method,
                 fmt::format("{} (see `interplay models --of calibrator`)", fmt::join(calibrators().names(), ", ")))
      ->capture_default_str();
  auto* const by = app.add_option("--by", o.by, "a categorical field, each value of which gets a map of its own");
  app.add_option("--min-rows", o.min_rows, "with --by: of a value at least; the others share one map")
      ->needs(by)
      ->capture_default_str()
      ->check(at_least(1));
  auto* const sampled = app.add_option("--sampled", o.sampled,
                                       "the share of negatives that was kept when the data were made, in all splits")
                            ->capture_default_str();
  app.add_option("--sampled-label", o.sampled_label, "of several labels, the one whose negatives were sampled")
      ->needs(sampled);
  app.add_flag("--remove", a->remove, "takes the calibration away: the run is as training left it");
  app.add_option("--batch-size", a->batch_size, "rows a batch")->capture_default_str()->check(at_least(1));
  app.add_flag("--json", a->json, "for machines");
  return [a] { calibrate(*a); };
}

const AddCommand command("calibrate", "fit probabilities to what is observed, and keep that in the run", add);

}  // namespace
}  // namespace interplay::tool::calibrate_command
