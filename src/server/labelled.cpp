#include "server/labelled.h"

#include <algorithm>
#include <cmath>

#include <interplay/core/bootstrap.h>
#include <interplay/core/metric.h>

namespace interplay::server {
namespace {

using Json = nlohmann::ordered_json;

/// Of a probability that is 0 or 1 in float, the logit of the nearest one that is not.
float logit_of(float p) {
  const double clipped = std::clamp(double(p), 1e-7, 1 - 1e-7);
  return float(std::log(clipped / (1 - clipped)));
}

Predictions predictions_of(const std::vector<LabelledScores::Row>& rows, float LabelledScores::Row::*score) {
  Predictions out;
  for (const auto& row : rows) {
    out.logit.push_back(logit_of(row.*score));
    out.label.push_back(row.label);
  }
  return out;
}

LabelledQuality quality_of(const std::vector<LabelledScores::Row>& rows, float LabelledScores::Row::*score) {
  LabelledQuality out;
  out.rows = int64_t(rows.size());
  if (rows.empty()) return out;
  const auto values = evaluate(predictions_of(rows, score), Config::parse("[auc, logloss]"));
  out.auc = values[0].value;
  out.logloss = values[1].value;
  out.mean_p = out.mean_label = 0;
  for (const auto& row : rows) {
    out.mean_p += row.*score / double(rows.size());
    out.mean_label += row.label / double(rows.size());
  }
  return out;
}

Json json_of(const LabelledQuality& of) { return {{"auc", of.auc}, {"logloss", of.logloss}, {"mean_p", of.mean_p}}; }

}  // namespace

LabelledQuality quality_of(const std::vector<LabelledScores::Row>& rows) {
  return quality_of(rows, &LabelledScores::Row::p);
}

Json compare_labelled(const std::vector<LabelledScores::Row>& rows) {
  const LabelledQuality shadow = quality_of(rows), stable = quality_of(rows, &LabelledScores::Row::other);
  Json out{{"rows", shadow.rows},
           {"mean_label", shadow.mean_label},
           {"stable", json_of(stable)},
           {"shadow", json_of(shadow)}};
  if (std::isnan(shadow.auc)) return out;  // not both classes yet
  const Predictions a = predictions_of(rows, &LabelledScores::Row::p),
                    b = predictions_of(rows, &LabelledScores::Row::other);
  const auto d = bootstrap_auc_difference({.label = a.label, .logit_a = a.logit, .logit_b = b.logit});
  out["auc_difference"] = {{"value", d.difference}, {"low", d.low}, {"high", d.high}};
  return out;
}

}  // namespace interplay::server
