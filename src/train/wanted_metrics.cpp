#include "train/wanted_metrics.h"

#include <algorithm>
#include <cmath>

#include <interplay/core/ranking_metric.h>

namespace interplay {

using Json = nlohmann::ordered_json;

WantedMetrics::WantedMetrics(const TrainOptions& options) {
  std::vector<Config> rows;
  std::vector<std::string> seen;
  const auto add = [&](const std::string& name, const Config& metric) {
    if (std::find(seen.begin(), seen.end(), name) != seen.end()) return;
    seen.push_back(name);
    is_ranking_metric(name) ? of_catalogue.push_back(name) : rows.push_back(metric);
  };
  for (const auto& metric : options.metrics) add(name_in(metric), metric);
  for (const auto& monitored : monitored_names(options.monitor)) {
    const MonitoredName name = parse_monitored(monitored);
    if (!name.is_term()) add(name.metric, Config::scalar(name.metric, true));
  }
  of_rows = Config::sequence(rows);
}

void check_metrics(const TrainOptions& options) {
  std::vector<std::string> seen;
  for (const auto& metric : options.metrics) {
    if (metric.is_scalar() && is_ranking_metric(metric.as<std::string>())) {
      parse_ranking_metric(metric.as<std::string>());
    } else {
      metrics().make(metric);
    }
    seen.push_back(name_in(metric));
    if (std::count(seen.begin(), seen.end(), seen.back()) > 1)
      metric.fail(fmt::format("'{}' is named twice; values go by their metric's name, so leave one away", seen.back()));
  }
  for (const auto& monitored : monitored_names(options.monitor)) {
    const MonitoredName name = parse_monitored(monitored);
    if (name.is_term()) continue;
    if (is_ranking_metric(name.metric)) {
      parse_ranking_metric(name.metric);
    } else if (!metrics().has(name.metric)) {
      detail::unknown_name(options.monitor, "metric", name.metric, metrics().names());
    }
  }
}

std::string display_of(const std::string& name) {
  const MonitoredName parts = parse_monitored(name);
  if (parts.is_term()) return parts.of;
  if (is_ranking_metric(name)) return name;
  const std::string display = metrics().make(Config::scalar(parts.metric, true))->display();
  return parts.of.empty() ? display : fmt::format("{}:{}", display, parts.of);
}

Json number_or_null(double value) { return std::isfinite(value) ? Json(value) : Json(nullptr); }

Json to_json(const std::vector<MetricValue>& values) {
  Json out = Json::object();
  for (const auto& v : values) out[v.name] = number_or_null(v.value);
  return out;
}

Json to_json(const EpochReport& r) {
  Json profile = Json::object();
  for (size_t i = 0; i < kStages; ++i) {
    profile[kStageNames[i]] = {{"seconds", r.stages[i]},
                               {"percent", number_or_null(std::round(1000 * r.stages[i] / r.seconds) / 10)},
                               {"rows_per_s", number_or_null(std::round(double(r.rows) / r.stages[i]))}};
  }
  Json out{{"epoch", r.epoch}, {"step", r.step}, {"train_loss", number_or_null(r.train_loss)}};
  if (!r.terms.empty()) {
    Json& terms = out["train_terms"] = Json::object();
    for (const auto& [name, mean] : r.terms) terms[name] = number_or_null(mean);
  }
  out.update(Json{{"valid", to_json(r.metrics)},
                  {"monitor", number_or_null(r.monitor)},
                  {"improved", r.improved},
                  {"lr", r.lr},
                  {"rows", r.rows},
                  {"rows_per_s", std::round(r.rows_per_s)},
                  {"seconds", r.seconds},
                  {"profile", profile}});
  return out;
}

EpochReport epoch_report(const Json& line) {
  const auto value = [](const Json& v) { return v.is_null() ? NAN : v.get<double>(); };
  EpochReport r;
  r.epoch = line.at("epoch"), r.step = line.at("step"), r.lr = line.at("lr"), r.improved = line.at("improved");
  r.train_loss = value(line.at("train_loss")), r.monitor = value(line.at("monitor"));
  r.rows = line.at("rows"), r.rows_per_s = line.at("rows_per_s"), r.seconds = line.at("seconds");
  for (size_t i = 0; i < kStages; ++i) r.stages[i] = line.at("profile").at(kStageNames[i]).at("seconds");
  if (line.contains("train_terms")) {
    for (const auto& [name, mean] : line.at("train_terms").items()) r.terms.emplace_back(name, value(mean));
  }
  for (const auto& [name, v] : line.at("valid").items()) r.metrics.push_back({name, display_of(name), value(v)});
  return r;
}

}  // namespace interplay
