#include <cmath>
#include <filesystem>

#include <nlohmann/json.hpp>

#include <interplay/explain/explanation.h>
#include <interplay/train/report_page.h>

#include "explain/explain_page.h"
#include "explain/interval_json.h"

namespace interplay {
namespace {

using Json = nlohmann::ordered_json;

Json to_json(const Importance& i) {
  return {{"name", i.group.name},
          {"fields", i.group.fields},
          {"logloss_gained", interval_json(i.loss)},
          {"auc_lost", interval_json(i.auc)}};
}

Json to_json(const PairStrength& p) {
  Json out{{"fields", {p.first, p.second}}, {"strength", p.strength}};
  if (!std::isnan(p.h)) out["h"] = p.h;
  return out;
}

Json to_json(const ExplainedRow& r) {
  const Attribution& a = r.attribution;
  Json fields = Json::array();
  for (size_t i = 0; i < a.fields.size(); ++i)
    fields.push_back({{"name", a.fields[i].first}, {"value", r.values[i]}, {"attribution", a.fields[i].second}});
  return {{"row", r.row},           {"p", r.p},
          {"label", r.label},  // NaN is written as null
          {"logit", a.logit},       {"baseline", a.baseline},
          {"steps", a.steps},       {"error", a.error},
          {"complete", a.complete}, {"fields", std::move(fields)}};
}

Json to_json(const EffectCurve& c) {
  Json points = Json::array();
  for (const auto& p : c.points)
    points.push_back({{"value", p.value}, {"stored", p.stored}, {"p", interval_json(p.p)}});
  return {{"field", c.field}, {"points", std::move(points)}};
}

Json to_json(const std::vector<RowSlice>& slices, const std::vector<std::string>& values) {
  Json out = Json::array();
  for (size_t i = 0; i < slices.size(); ++i) {
    const RowSlice& s = slices[i];
    out.push_back({{"field", s.field},
                   {"value", values[i]},
                   {"rows", s.rows},
                   {"mean_p", s.mean_p},
                   {"observed", s.observed},
                   {"logloss_excess", interval_json(s.excess)},
                   {"calibration_gap", interval_json(s.gap)}});
  }
  return out;
}

template <class T>
Json list_of(const std::vector<T>& items) {
  Json out = Json::array();
  for (const auto& item : items) out.push_back(to_json(item));
  return out;
}

Json to_json(const Explanation& e) {
  Json out{{"run", e.run},
           {"model", e.model},
           {"data", e.data},
           {"split", e.split},
           {"label", e.label},
           {"rows", e.rows},
           {"of_rows", e.of_rows},
           {"repeats", e.repeats},
           {"replicates", e.replicates},
           {"seed", e.seed},
           {"auc", interval_json(e.standing.auc)},
           {"logloss", interval_json(e.standing.logloss)},
           {"fields", list_of(e.fields)}};
  if (!e.groups.empty()) out["groups"] = list_of(e.groups);
  if (!e.pairs_by.empty()) out["pairs"] = {{"by", e.pairs_by}, {"pairs", list_of(e.pairs)}};
  if (!e.attributions.empty()) out["rows_explained"] = list_of(e.attributions);
  if (!e.curves.empty()) out["curves"] = list_of(e.curves);
  if (e.slices) {
    out["slices"] = {{"looked_at", e.slices->looked_at},
                     {"by_logloss", to_json(e.slices->by_loss, e.by_loss_values)},
                     {"by_calibration", to_json(e.slices->by_gap, e.by_gap_values)}};
  }
  return out;
}

}  // namespace

std::string explanation_json(const Explanation& e) {
  return to_json(e).dump(1, ' ', false, Json::error_handler_t::replace) + "\n";
}

std::string explanation_html(const Explanation& e) {
  Json page = to_json(e);
  page["title"] = fmt::format("Why: {} on {}", e.model, std::filesystem::weakly_canonical(e.data).filename().string());
  return page_html(page["title"].get<std::string>(), page.dump(-1, ' ', false, Json::error_handler_t::replace),
                   kExplainScript);
}

}  // namespace interplay
