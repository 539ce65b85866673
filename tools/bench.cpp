// interplay bench [WORKLOAD]: how fast this machine runs the library, beside what it can do at best. The workloads lie
// in src/bench; without a name they are listed.
#include <algorithm>
#include <cmath>
#include <set>

#include <nlohmann/json.hpp>

#include <interplay/base/progress.h>
#include <interplay/bench/workload.h>

#include "command.h"

namespace interplay::tool::bench_command {
namespace {

using Json = nlohmann::ordered_json;

void list_workloads() {
  std::vector<std::vector<std::string>> rows{{"workload", "what it measures"}};
  for (const auto& name : bench::workloads().names())
    rows.push_back({name, bench::workloads().find(Config::scalar(name, true)).doc});
  fmt::print("{}", table(rows));
}

std::string shown(double value) {
  const double size = std::abs(value);
  return size >= 1e4   ? human_count(value)
         : size >= 100 ? fmt::format("{:.0f}", value)
         : size >= 10  ? fmt::format("{:.1f}", value)
                       : fmt::format("{:.4f}", value);
}

std::string table_of(const char* what, const std::vector<bench::Measure>& measures) {
  std::vector<std::vector<std::string>> rows{{what, "median", "min", "max", "unit"}};
  for (const auto& m : measures) rows.push_back({m.name, shown(m.median()), shown(m.min()), shown(m.max()), m.unit});
  const bool has_units = std::any_of(measures.begin(), measures.end(), [](const auto& m) { return !m.unit.empty(); });
  for (auto& row : rows) row.resize(has_units ? 5 : 4);
  return measures.empty() ? "" : "\n" + table(rows);
}

std::string in_words(const std::vector<std::pair<std::string, std::string>>& facts) {
  std::string out;
  for (const auto& [name, value] : facts) out += fmt::format("{}{} {}", out.empty() ? "" : ", ", name, value);
  return out;
}

Json to_json(const std::vector<std::pair<std::string, std::string>>& facts) {
  Json out = Json::object();
  for (const auto& [name, value] : facts) out[name] = value;
  return out;
}

Json to_json(const std::vector<bench::Measure>& measures) {
  Json out = Json::array();
  for (const auto& m : measures) {
    Json one{{"name", m.name}};
    if (!m.unit.empty()) one["unit"] = m.unit;
    one["median"] = m.median(), one["min"] = m.min(), one["max"] = m.max(), one["values"] = m.values;
    out.push_back(std::move(one));
  }
  return out;
}

std::function<void()> add(CLI::App& app) {
  struct Arguments {
    std::string workload;
    bench::Setting setting;
    bool json = false;
  };
  auto a = std::make_shared<Arguments>();
  auto given = std::make_shared<Config>();
  a->setting.scratch = std::filesystem::temp_directory_path() / "interplay-bench";
  app.add_option("WORKLOAD", a->workload, "what to measure; without it the workloads are listed");
  app.add_option("--repeat", a->setting.repeats, "measurements, of which median, least and most are shown")
      ->capture_default_str()
      ->check(at_least(1));
  app.add_option("--data", a->setting.data, "prepared data to train on or evaluate, instead of made-up ones");
  app.add_option("--scratch", a->setting.scratch,
                 "where made-up data are kept for the next time; interplay-bench among the temporary files by default");
  app.add_option("--set", a->setting.sets,
                 "KEY=VALUE, as train.precision=fp32, on top of what is trained (may be given again)")
      ->allow_extra_args(false);
  app.add_flag("--json", a->json, "for machines");
  std::set<std::string> added;
  for (const auto& name : bench::workloads().names()) {  // every option of a workload is a flag
    for (const auto& option : bench::workloads().find(Config::scalar(name, true)).options()) {
      if (!added.insert(option.name).second) continue;
      app.add_option_function<std::string>(
          "--" + option.name,
          [given, key = option.name](const std::string& value) {
            given->set(key, value.starts_with("[") ? Config::parse(value, "--" + key) : Config::scalar(value));
          },
          option.doc + (option.limits.empty() ? "" : " (" + option.limits + ")"));
    }
  }
  return [a, given] {
    if (a->workload.empty()) return list_workloads();
    given->set("name", Config::scalar(a->workload, true));
    const auto options = bench::workloads().resolve(*given);
    const auto machine = bench::machine();
    const auto found = bench::workloads().make(*given)->run(a->setting);
    if (a->json) {
      Json chosen = Json::object();
      for (const auto& key : options.keys()) chosen[key] = options[key].yaml();
      fmt::print("{}\n", Json{{"workload", a->workload},
                              {"options", chosen},
                              {"set", a->setting.sets},
                              {"repeats", a->setting.repeats},
                              {"machine", to_json(machine)},
                              {"notes", to_json(found.notes)},
                              {"ratios", to_json(found.ratios)},
                              {"figures", to_json(found.figures)}}
                             .dump(1));
      return;
    }
    fmt::print("{}: {}repeats {}\n{}\n", a->workload, found.notes.empty() ? "" : in_words(found.notes) + ", ",
               a->setting.repeats, in_words(machine));
    fmt::print("{}{}", table_of("ratio", found.ratios), table_of("figure", found.figures));
  };
}

const AddCommand command("bench", "measure this machine with the library's own workloads", add);

}  // namespace
}  // namespace interplay::tool::bench_command
