#include "search/search_files.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include <interplay/base/files.h>
#include <interplay/core/bundle.h>
#include <interplay/train/report_page.h>

#include "search/search_page.h"

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

namespace interplay {
namespace {

Json rounded(double value, int digits) {
  return std::isfinite(value) ? Json(std::stod(fmt::format("{:.{}g}", value, digits))) : Json();
}
Json rounded(double value) { return rounded(value, 8); }       // a metric, a gate
Json short_number(double value) { return rounded(value, 4); }  // a point of a curve

Json to_json(const Interaction& i) {
  return {{"fields", i.fields},
          {"order", i.fields.size()},
          {"function", i.function},
          {"gate", rounded(i.gate)},
          {"kept", i.kept}};
}

Json to_json(const StageResult& s) {
  return {{"name", s.name},
          {"directory", s.directory},
          {"split", s.split},
          {"auc", rounded(s.auc)},
          {"logloss", rounded(s.logloss)},
          {"parameters", s.parameters},
          {"bytes", s.bytes},
          {"rows_per_s", std::round(s.rows_per_s)},
          {"seconds", rounded(s.seconds)},
          {"steps", s.steps}};
}

Json to_json(const GrdaSummary& g) {
  return {{"stage", g.stage},
          {"gates", g.gates},
          {"c", rounded(g.c)},
          {"mu", rounded(g.mu)},
          {"lr", rounded(g.lr)},
          {"steps", g.steps},
          {"threshold", rounded(g.threshold)},
          {"searched_c", rounded(g.searched_c)}};
}

Json to_json(const KeptCurve& c) {
  Json points = Json::array(), strength = Json::array();
  for (const auto& p : c.points) {
    points.push_back({{"kept", p.kept},
                      {"loss", rounded(p.loss)},
                      {"above", rounded(p.above)},
                      {"standard_error", rounded(p.standard_error)}});
  }
  for (const double s : c.strength) strength.push_back(short_number(s));
  Json json{{"gates", c.gates}, {"rows", c.rows},       {"best", c.best},      {"chosen", c.chosen},
            {"points", points}, {"ranking", c.ranking}, {"strength", strength}};
  if (!c.stage.empty()) json["stage"] = c.stage;
  return json;
}

KeptCurve curve_of(const Json& json) {
  KeptCurve c;
  c.gates = json.at("gates"), c.rows = json.at("rows"), c.best = json.at("best"), c.chosen = json.at("chosen");
  c.ranking = json.at("ranking").get<std::vector<std::string>>();
  c.strength = json.at("strength").get<std::vector<double>>();
  for (const auto& p : json.at("points"))
    c.points.push_back({p.at("kept"), p.at("loss"), p.at("above"), p.at("standard_error")});
  return c;
}

}  // namespace

void write_curves(const fs::path& file, const std::vector<KeptCurve>& curves) {
  Json json = Json::array();
  for (const auto& c : curves) json.push_back(to_json(c));
  write_file(file, json.dump(1) + "\n");
}

std::vector<KeptCurve> read_curves(const fs::path& file) {
  if (!fs::exists(file)) return {};
  std::vector<KeptCurve> curves;
  try {
    for (const auto& c : Json::parse(read_file(file))) curves.push_back(curve_of(c));
  } catch (const Json::exception& problem) {
    throw Error(fmt::format("{}: not curves of a search ({})", file.string(), problem.what()), ErrorKind::data);
  }
  return curves;
}

Json search_json(const std::string& search, const std::string& data, const SearchFindings& findings,
                 const std::vector<StageResult>& stages, const std::vector<KeptCurve>& curves) {
  Json interactions = Json::array(), stage_list = Json::array(), grda = Json::array();
  for (const auto& i : findings.interactions) interactions.push_back(to_json(i));
  for (const auto& s : stages) stage_list.push_back(to_json(s));
  for (const auto& g : findings.grda) grda.push_back(to_json(g));
  Json json{{"search", search},
            {"data", data},
            {"interactions", std::move(interactions)},
            {"widths", findings.widths.empty() ? Json() : Json(findings.widths)},
            {"stages", std::move(stage_list)},
            {"grda", std::move(grda)},
            {"result", findings.result.empty() ? Json() : Json(findings.result)}};
  for (const auto& c : curves) json["curves"].push_back(to_json(c));
  return json;
}

namespace {

constexpr size_t kDrawn = 400, kPoints = 150;  // gates a chart can show, and readings of each: the page stays small

/// Which gates are drawn: where there are more than can be shown, half of them the largest at the end, half spread
/// evenly over the others.
std::vector<size_t> shown(const std::vector<double>& last) {
  std::vector<size_t> order(last.size());
  std::iota(order.begin(), order.end(), size_t{0});
  if (order.size() <= kDrawn) return order;
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return std::abs(last[a]) > std::abs(last[b]); });
  std::vector<size_t> out(order.begin(), order.begin() + kDrawn / 2);
  const size_t others = order.size() - kDrawn / 2;
  for (size_t i = 0; i < kDrawn / 2; ++i) out.push_back(order[kDrawn / 2 + i * others / (kDrawn / 2)]);
  return out;
}

/// Every so many, and the last.
std::vector<size_t> drawn_readings(size_t readings) {
  std::vector<size_t> out;
  const size_t every = (readings + kPoints - 1) / kPoints;
  for (size_t r = 0; r < readings; r += every) out.push_back(r);
  if (readings > 0 && out.back() + 1 < readings) out.push_back(readings - 1);
  return out;
}

Json to_json(const StageCourse& s) {
  const auto& course = s.course;
  const auto gates = course.values.empty() ? std::vector<size_t>() : shown(course.values.back());
  Json names = Json::array(), steps = Json::array(), thresholds = Json::array(), values = Json::array();
  for (const size_t g : gates) names.push_back(course.names[g]);
  for (const size_t r : drawn_readings(course.steps.size())) {
    Json line = Json::array();
    for (const size_t g : gates) line.push_back(short_number(course.values[r][g]));
    values.push_back(std::move(line));
    steps.push_back(course.steps[r]);
    thresholds.push_back(short_number(course.thresholds[r]));
  }
  Json json{{"stage", s.stage},
            {"of", s.gates},
            {"gates", course.names.size()},
            {"threshold", short_number(s.threshold)},
            {"names", std::move(names)},
            {"steps", std::move(steps)},
            {"thresholds", std::move(thresholds)},
            {"values", std::move(values)}};
  if (s.kept) {
    Json kept = Json::array();
    for (const size_t g : gates) kept.push_back(s.kept->contains(course.names[g]));
    json["kept"] = std::move(kept);
  }
  return json;
}

}  // namespace

std::string search_html(const Json& search, const std::string& config, const std::vector<StageCourse>& courses) {
  Json page = search;
  const auto model = Config::parse(config)["model"]["name"].as<std::string>();
  page["title"] = fmt::format("{}: {} on {}", search.at("search").get<std::string>(), model,
                              fs::weakly_canonical(search.at("data").get<std::string>()).filename().string());
  page["config"] = config;
  page["courses"] = Json::array();
  for (const auto& c : courses) page["courses"].push_back(to_json(c));
  return page_html(page["title"].get<std::string>(), page.dump(-1, ' ', false, Json::error_handler_t::replace),
                   kSearchScript);
}

StageResult read_stage(const fs::path& search, const std::string& directory) {
  const fs::path run = search / directory, file = run / "summary.json";
  Manifest::load(run).check(run, /*contents=*/false);
  StageResult s;
  s.directory = directory;
  s.bytes = int64_t(fs::file_size(run / Bundle::kWeights));
  try {
    const Json summary = Json::parse(read_file(file));
    const auto metric = [&](const char* split, const char* name) {
      const Json& metrics = summary.at(split);
      return metrics.contains(name) && metrics[name].is_number() ? metrics[name].get<double>() : NAN;
    };
    for (const char* split : {"test", "valid"}) {
      if (summary.at(split).empty()) continue;
      s.split = split, s.auc = metric(split, "auc"), s.logloss = metric(split, "logloss");
      break;
    }
    s.valid_logloss = metric("valid", "logloss");
    s.parameters = summary.at("parameters"), s.steps = summary.at("steps");
    s.rows_per_s = summary.at("rows_per_s"), s.seconds = summary.at("seconds");
  } catch (const Json::exception& problem) {
    throw Error(fmt::format("{}: not the summary of a run ({})", file.string(), problem.what()), ErrorKind::data);
  }
  return s;
}

}  // namespace interplay
