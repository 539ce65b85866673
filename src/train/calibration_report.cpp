#include <interplay/train/calibration_report.h>

#include <algorithm>

#include <nlohmann/json.hpp>

#include <interplay/core/metric.h>
#include <interplay/data/row_facts.h>
#include <interplay/train/report_page.h>

#include "train/report_json.h"

namespace interplay {
namespace {

using Json = nlohmann::ordered_json;

constexpr int64_t kBins = 15;
constexpr const char* kOthers = "(others, one map)";

CalibrationFigures figures_of(const std::string& name, const Predictions& rows) {
  const auto values = evaluate(rows, Config::parse("[auc, logloss]"));
  return {name, values[0].value, values[1].value, calibration_error(rows, {.bins = kBins}),
          calibration_bins(rows, kBins)};
}

/// The same rows by all kinds of logits, which have a name each.
using Kinds = std::vector<std::pair<std::string, Predictions>>;

CalibrationPart part_of(const Kinds& kinds, size_t label, const std::string& name, const std::string& slice,
                        const std::vector<int64_t>* rows) {
  CalibrationPart part{.label = name, .slice = slice};
  for (const auto& [kind, predictions] : kinds) {
    const Predictions some = rows ? predictions.pick(*rows) : Predictions();
    const auto labelled = (rows ? some : predictions).of_label(int64_t(label));
    part.rows = labelled->rows();
    if (part.rows > 0) part.figures.push_back(figures_of(kind, *labelled));
  }
  return part;
}

Kinds kinds_of(const Calibration& calibration, const Predictions& own, SliceIds ids) {
  Kinds kinds{{"before", own}};
  if (calibration.options().sampled < 1) {
    Predictions& shifted = kinds.emplace_back("unsampled", own).second;
    for (size_t i = 0; i < shifted.logit.size(); ++i)
      shifted.logit[i] += float(calibration.labels()[i % size_t(own.labels)].shift);
  }
  calibration.apply(kinds.emplace_back("after", own).second.logit, ids);
  return kinds;
}

Json to_json(const CalibrationPart& part) {
  Json figures = Json::array();
  for (const auto& f : part.figures) {
    Json bins = Json::array();
    for (const auto& b : f.bins) bins.push_back(bin_json(b));
    figures.push_back({{"name", f.name},
                       {"auc", f.auc},
                       {"logloss", f.logloss},
                       {"ece", f.error.ece},
                       {"low", f.error.low},
                       {"high", f.error.high},
                       {"by_chance", f.error.by_chance},
                       {"largest_gap", f.error.largest_gap},
                       {"ratio", f.error.ratio},
                       {"bins", std::move(bins)}});
  }
  return {{"label", part.label}, {"slice", part.slice}, {"rows", part.rows}, {"figures", std::move(figures)}};
}

constexpr std::string_view kScript = R"html(
make(page, 'h1', {}, run.title);
facts(make(page, 'div', {class: 'card'}), run.facts);
const colors = {before: 'var(--second)', unsampled: 'var(--soft)', after: 'var(--first)'};
const figure = (title, key, show = fixed(6)) => ({title, get: r => r[key], show});
const range = f => known(f.low) ? `${f.low.toFixed(4)} to ${f.high.toFixed(4)}` : 'n/a';
make(page, 'h2', {}, `On ${run.split}`);
for (const part of run.parts) {
  const c = card(page, `${part.label}: ${count(part.rows)} rows`,
                 'ECE: the mean gap of predicted and observed rate over 15 bins of equal numbers of rows, with its 95% interval; by chance: what it would ' +
                 'be on average if every prediction were right; ratio: mean prediction over mean label.');
  table(c, [{title: 'logits', get: r => r.name}, figure('AUC', 'auc'), figure('logloss', 'logloss'), figure('ECE', 'ece'), {title: '95% interval', get: range},
            figure('by chance', 'by_chance'), figure('largest gap', 'largest_gap'), figure('ratio', 'ratio', fixed(4))], part.figures);
}
const grid = make(page, 'div', {class: 'grid', style: 'margin-top:16px'});
for (const part of run.parts) {
  for (const shown of [part.figures, part.figures.slice(-1)]) {
    reliability(grid, `${part.label}: ${shown.length > 1 ? 'before and after' : 'after'}`,
                'Each point is a bin; its bar is the 95% interval of what was observed. On the line, predictions are right on average; above it, they are too low.',
                shown.map(f => ({name: f.name, color: colors[f.name], bins: f.bins})));
  }
}
if (run.slices.length) {
  make(page, 'h2', {}, `By ${run.field}`);
  const first = r => r.figures[0] ?? {}, last = r => r.figures[r.figures.length - 1] ?? {};
  table(make(page, 'div', {class: 'card'}), [
    {title: run.field, get: r => r.slice}, {title: 'label', get: r => r.label}, {title: 'rows', get: r => r.rows, show: count},
    {title: 'ECE before', get: r => first(r).ece, show: fixed(6)}, {title: '95% interval', get: r => range(first(r))},
    {title: 'ECE after', get: r => last(r).ece, show: fixed(6)}, {title: '95% interval', get: r => range(last(r))},
    {title: 'by chance', get: r => last(r).by_chance, show: fixed(6)},
    {title: 'logloss before', get: r => first(r).logloss, show: fixed(6)}, {title: 'after', get: r => last(r).logloss, show: fixed(6)}], run.slices);
}
)html";

}  // namespace

CalibrationReport report_calibration(const Calibration& calibration, const Predictions& own, const Dataset& dataset,
                                     const std::function<std::string(int32_t)>& name_of) {
  const std::string& by = calibration.options().by;
  const std::vector<int32_t> ids = by.empty() ? std::vector<int32_t>() : ids_of(dataset, by);
  const Kinds kinds = kinds_of(calibration, own, {by.empty() ? nullptr : ids.data()});
  CalibrationReport report{.field = by};
  for (size_t t = 0; t < calibration.labels().size(); ++t) {
    const auto& maps = calibration.labels()[t];
    report.parts.push_back(part_of(kinds, t, maps.name, "", nullptr));
    if (by.empty()) continue;
    std::map<int32_t, std::vector<int64_t>> by_id;
    std::vector<int64_t> others;
    for (size_t i = 0; i < ids.size(); ++i)
      (maps.slices.contains(ids[i]) ? by_id[ids[i]] : others).push_back(int64_t(i));
    std::vector<CalibrationPart> slices;
    for (const auto& [id, rows] : by_id) slices.push_back(part_of(kinds, t, maps.name, name_of(id), &rows));
    std::stable_sort(slices.begin(), slices.end(), [](const auto& a, const auto& b) { return a.rows > b.rows; });
    if (!others.empty()) slices.push_back(part_of(kinds, t, maps.name, kOthers, &others));
    report.slices.insert(report.slices.end(), slices.begin(), slices.end());
  }
  return report;
}

std::string calibration_json(const CalibrationReport& report) {
  Json facts = Json::array(), parts = Json::array(), slices = Json::array();
  for (const auto& [name, value] : report.facts) facts.push_back(Json::array({name, value}));
  for (const auto& part : report.parts) parts.push_back(to_json(part));
  for (const auto& part : report.slices) slices.push_back(to_json(part));
  const Json json{{"title", report.title}, {"split", report.split},     {"field", report.field},
                  {"facts", facts},        {"parts", std::move(parts)}, {"slices", std::move(slices)}};
  return json.dump(1, ' ', false, Json::error_handler_t::replace);
}

std::string calibration_html(const CalibrationReport& report) {
  return page_html(report.title, calibration_json(report), kScript);
}

}  // namespace interplay
