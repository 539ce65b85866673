#include <interplay/train/report.h>

#include <cmath>

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

Json to_json(const ReportSplit& s) {
  Json bins = Json::array();
  for (const auto& b : s.calibration) bins.push_back(bin_json(b));
  const auto& h = s.histogram;
  return {{"name", s.name},
          {"rows", s.rows},
          {"metrics", listed(s.metrics)},
          {"calibration", std::move(bins)},
          {"histogram", {{"low", h.low}, {"high", h.high}, {"positive", h.positive}, {"negative", h.negative}}}};
}

Json to_json(const ReportSlices& s) {
  Json slices = Json::array();
  for (const auto& one : s.slices) {
    slices.push_back({{"value", one.value}, {"rows", one.rows}, {"metrics", listed(one.metrics)}});
  }
  return {{"field", s.field}, {"split", s.split}, {"slices", std::move(slices)}};
}

template <class T>
Json list(const std::vector<T>& items) {
  Json out = Json::array();
  for (const auto& item : items) out.push_back(to_json(item));
  return out;
}

Json to_json(const RunReport& r) {
  Json facts = Json::array();
  for (const auto& [name, value] : r.facts) facts.push_back(Json::array({name, value}));
  Json profile = Json::array();
  for (const auto& [stage, seconds] : r.profile) profile.push_back({{"stage", stage}, {"seconds", seconds}});
  return {{"title", r.title},          {"config", r.config},
          {"monitor", r.monitor},      {"best_step", r.best_step},
          {"facts", std::move(facts)}, {"evaluations", list(r.evaluations)},
          {"profile", profile},        {"trained_rows", r.trained_rows},
          {"splits", list(r.splits)},  {"slices", list(r.slices)}};
}

}  // namespace

nlohmann::ordered_json bin_json(const CalibrationBin& b) {
  return {{"low_p", b.low_p},       {"high_p", b.high_p}, {"mean_p", b.mean_p},
          {"observed", b.observed}, {"weight", b.weight}, {"rows", b.rows}};
}

ReportSplit report_split(std::string name, const Predictions& predictions, std::vector<MetricValue> metrics) {
  return {.name = std::move(name),
          .rows = predictions.rows(),
          .metrics = std::move(metrics),
          .calibration = calibration_bins(predictions),
          .histogram = prediction_histogram(predictions)};
}

std::string report_html(const RunReport& report) {
  // Bad UTF-8 (a token of a slice) is replaced rather than refused: the run it tells of is done.
  return page_html(report.title, to_json(report).dump(-1, ' ', false, Json::error_handler_t::replace), kReportScript);
}

void write_report(const std::filesystem::path& file, const RunReport& report) { write_file(file, report_html(report)); }

}  // namespace interplay
