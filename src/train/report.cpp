#include <interplay/train/report.h>

#include <algorithm>

#include <nlohmann/json.hpp>

#include <interplay/base/files.h>
#include <interplay/train/report_page.h>

#include "train/report_json.h"

namespace interplay {

namespace {

using Json = nlohmann::ordered_json;

/// With what each is called and, where it is undefined, why.
Json listed(const std::vector<MetricValue>& metrics) {
  Json out = Json::array();
  for (const auto& m : metrics) {
    Json one = {{"name", m.name}, {"display", m.display}, {"value", m.value}};  // NaN is written as null
    if (!m.reason.empty()) one["reason"] = m.reason;
    out.push_back(std::move(one));
  }
  return out;
}

Json to_json(const ReportEvaluation& e) {
  Json terms = Json::array();
  for (const auto& [name, mean] : e.terms) terms.push_back({{"name", name}, {"value", mean}});
  return {{"step", e.step},
          {"epoch", e.epoch},
          {"train_loss", e.train_loss},
          {"learning_rate", e.learning_rate},
          {"monitored", e.monitored},
          {"rows_per_s", e.rows_per_s},
          {"seconds", e.seconds},
          {"metrics", listed(e.metrics)},
          {"terms", std::move(terms)}};
}

Json to_json(const ReportLoss& l) {
  return {{"step", l.step}, {"epoch", l.epoch}, {"train_loss", l.train_loss}, {"learning_rate", l.learning_rate}};
}

Json to_json(const ReportProgress& p) {
  return {
      {"doing", p.doing},     {"goes_on", p.goes_on}, {"epoch", p.epoch},           {"epochs", p.epochs},
      {"step", p.step},       {"steps", p.steps},     {"rows_per_s", p.rows_per_s}, {"seconds_left", p.seconds_left},
      {"written", p.written}, {"every_s", p.every_s}};
}

Json to_json(const Interval& i) { return {{"value", i.value}, {"low", i.low}, {"high", i.high}}; }

Json to_json(const CalibrationError& e) {
  return {{"value", e.ece}, {"low", e.low}, {"high", e.high}, {"by_chance", e.by_chance}, {"ratio", e.ratio}};
}

Json to_json(const ReportExplanation& e);
Json to_json(const ReportData& d);

/// null where there is none
template <class T>
Json maybe(const std::optional<T>& part) {
  return part ? to_json(*part) : Json();
}

Json to_json(const ReportSplit& s) {
  Json bins = Json::array();
  for (const auto& b : s.calibration) bins.push_back(bin_json(b));
  const auto& h = s.histogram;
  return {{"name", s.name},
          {"rows", s.rows},
          {"metrics", listed(s.metrics)},
          {"calibration", std::move(bins)},
          {"histogram", {{"low", h.low}, {"high", h.high}, {"positive", h.positive}, {"negative", h.negative}}},
          {"auc", maybe(s.auc)},
          {"logloss", maybe(s.logloss)},
          {"ece", maybe(s.error)}};
}

Json to_json(const ReportSlices& s) {
  Json slices = Json::array();
  for (const auto& one : s.slices) {
    slices.push_back({{"value", one.value}, {"rows", one.rows}, {"metrics", listed(one.metrics)}});
  }
  return {{"field", s.field}, {"split", s.split}, {"slices", std::move(slices)}};
}

Json to_json(const ReportImportance& i) {
  return {{"field", i.field}, {"loss", to_json(i.loss)}, {"auc", to_json(i.auc)}};
}

Json to_json(const ReportWorstSlice& s) {
  return {{"slice", s.slice},
          {"rows", s.rows},
          {"mean_p", s.mean_p},
          {"observed", s.observed},
          {"excess", to_json(s.excess)}};
}

template <class T>
Json list(const std::vector<T>& items) {
  Json out = Json::array();
  for (const auto& item : items) out.push_back(to_json(item));
  return out;
}

Json to_json(const ReportExplanation& e) {
  return {{"told", e.told},
          {"fields", list(e.fields)},
          {"slices_looked_at", e.slices_looked_at},
          {"slices", list(e.slices)}};
}

/// Of one field, beside the splits; null where nobody counted.
Json counts_json(const std::vector<SplitCounts>& splits, const std::string& name) {
  Json out = Json::array();
  for (const auto& split : splits) {
    const auto* const f = split.field(name);
    if (f) {
      out.push_back({{"values", f->values}, {"missing", f->missing}, {"unseen", f->unseen}, {"longest", f->longest}});
    } else {
      out.push_back(nullptr);
    }
  }
  return out;
}

Json to_json(const ReportData& d) {
  Json files = Json::array(), splits = Json::array(), fields = Json::array();
  for (const auto& file : d.files)
    files.push_back({{"file", file.file}, {"bytes", file.bytes}, {"xxh3", fmt::format("{:016x}", file.xxh3)}});
  for (const auto& split : d.splits) {
    Json labels = Json::array();
    for (const auto& l : split.labels) labels.push_back({{"name", l.name}, {"rows", l.rows}, {"rate", l.rate()}});
    splits.push_back({{"name", split.split},
                      {"rows", split.rows},
                      {"labels", std::move(labels)},
                      {"first_time", split.first_time},
                      {"last_time", split.last_time}});
  }
  for (const auto& field : d.schema.fields()) {
    fields.push_back({{"name", field.name},
                      {"kind", to_string(field.kind)},
                      {"table", field.table},
                      {"ids", field.rows},
                      {"counts", counts_json(d.splits, field.name)}});
  }
  return {{"directory", d.directory},
          {"fingerprint", fmt::format("{:016x}", d.schema.fingerprint())},
          {"files", std::move(files)},
          {"splits", std::move(splits)},
          {"fields", std::move(fields)}};
}

Json to_json(const RunReport& r) {
  Json facts = Json::array();
  for (const auto& [name, value] : r.facts) facts.push_back(Json::array({name, value}));
  Json profile = Json::array();
  for (const auto& [stage, seconds] : r.profile) profile.push_back({{"stage", stage}, {"seconds", seconds}});
  return {{"title", r.title},
          {"headline", r.headline},
          {"remarks", r.remarks},
          {"config", r.config},
          {"monitor", r.monitor},
          {"best_step", r.best_step},
          {"facts", std::move(facts)},
          {"progress", maybe(r.progress)},
          {"evaluations", list(r.evaluations)},
          {"losses", list(r.losses)},
          {"profile", profile},
          {"trained_rows", r.trained_rows},
          {"splits", list(r.splits)},
          {"slices", list(r.slices)},
          {"explanation", maybe(r.explanation)},
          {"data", maybe(r.data)}};
}

/// About a second's work for a million rows; at most what `interplay eval --interval` draws.
int64_t replicates_of(int64_t rows) {
  constexpr int64_t kDraws = 20000000, kFewest = 100, kMost = 1000;
  return std::clamp(kDraws / std::max<int64_t>(rows, 1), kFewest, kMost);
}

bool has_both_classes(const Predictions& p) {
  const auto has = [&](float wanted) { return std::count(p.label.begin(), p.label.end(), wanted); };
  const int64_t positive = has(1), negative = has(0);
  return positive > 0 && negative > 0 && positive + negative == int64_t(p.label.size());
}

/// Where rows have both classes and no others.
void add_intervals(ReportSplit& out, const Predictions& p) {
  if (!has_both_classes(p)) return;
  const int64_t replicates = replicates_of(p.rows());
  const Replicates r = bootstrap({p.label, {p.logit}, p.weight}, replicates);
  std::vector<double> auc, logloss;
  for (const auto& drawn : r.drawn) auc.push_back(drawn[0].auc), logloss.push_back(drawn[0].logloss);
  out.auc = percentile_interval(r.whole[0].auc, auc);
  out.logloss = percentile_interval(r.whole[0].logloss, logloss);
  out.error = calibration_error(p, {.replicates = std::min<int64_t>(replicates, 400)});
}

}  // namespace

nlohmann::ordered_json bin_json(const CalibrationBin& b) {
  return {{"low_p", b.low_p},       {"high_p", b.high_p}, {"mean_p", b.mean_p},
          {"observed", b.observed}, {"weight", b.weight}, {"rows", b.rows}};
}

ReportSplit report_split(std::string name, const Predictions& predictions, std::vector<MetricValue> metrics) {
  ReportSplit out{.name = std::move(name),
                  .rows = predictions.rows(),
                  .metrics = std::move(metrics),
                  .calibration = calibration_bins(predictions),
                  .histogram = prediction_histogram(predictions)};
  add_intervals(out, predictions);
  return out;
}

std::string report_html(const RunReport& report) {
  // Bad UTF-8 (a token of a slice) is replaced rather than refused: the run it tells of is done.
  return page_html(report.title, to_json(report).dump(-1, ' ', false, Json::error_handler_t::replace), kReportScript);
}

void write_report(const std::filesystem::path& file, const RunReport& report) { write_file(file, report_html(report)); }

}  // namespace interplay
