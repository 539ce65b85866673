// interplay check DATA.yaml: what is wrong with raw files before anything is trained on them.
#include <algorithm>
#include <cmath>
#include <fstream>

#include <nlohmann/json.hpp>

#include <interplay/base/files.h>
#include <interplay/base/printable.h>
#include <interplay/data/check.h>
#include <interplay/train/report_page.h>

#include "check_page.h"
#include "command.h"

namespace interplay::tool::check_command {
namespace {

using Json = nlohmann::ordered_json;
using Unit = CheckReport::Unit;

constexpr int kSevereStatus = 5;  // as docs/train.md says

struct Arguments {
  std::string data, report;
  std::vector<std::string> sets;
  int64_t rows = CheckOptions().rows;
  bool json = false;
};

Json number(double value) { return std::isfinite(value) ? Json(value) : Json(nullptr); }

Json to_json(const Finding& f) {
  Json rows = Json::array();
  for (const auto& row : f.rows) {
    Json cells = Json::object();
    for (const auto& [column, cell] : row.cells) cells[column] = cell;
    rows.push_back({{"place", row.place}, {"cells", std::move(cells)}});
  }
  return {{"severity", to_string(f.severity)}, {"check", f.check},   {"field", f.field}, {"text", f.text},
          {"rows", std::move(rows)},           {"remedy", f.remedy}, {"yaml", f.yaml}};
}

Json to_json(const CheckReport& r, const std::string& data) {
  constexpr const char* kUnits[] = {"count", "share", "number"};
  Json splits = Json::array(), fields = Json::array(), findings = Json::array();
  for (const auto& s : r.splits) {
    Json rates = Json::array();
    for (const double rate : s.label_rates) rates.push_back(number(rate));
    splits.push_back({{"name", s.name}, {"rows", s.rows}, {"label_rates", std::move(rates)}});
  }
  for (const auto& f : r.fields) {
    Json figures = Json::array();
    for (const auto& x : f.figures)
      figures.push_back({{"name", x.name}, {"value", number(x.value)}, {"unit", kUnits[size_t(x.unit)]}});
    fields.push_back({{"name", f.name}, {"kind", f.kind}, {"figures", std::move(figures)}});
  }
  for (const auto& f : r.findings) findings.push_back(to_json(f));
  return {{"data", data},
          {"labels", r.labels},
          {"splits", std::move(splits)},
          {"fields", std::move(fields)},
          {"findings", std::move(findings)},
          {"unusable_rows", r.unusable_rows},
          {"left_out_rows", r.left_out_rows}};
}

std::string text_of(const Json& json, int indent) {
  return json.dump(indent, ' ', false, Json::error_handler_t::replace);  // cells may be any bytes
}

std::string shown(const CheckReport::Figure& figure) {
  if (!std::isfinite(figure.value)) return "-";
  if (figure.unit == Unit::count) return fmt::format("{:.0f}", figure.value);
  return figure.unit == Unit::share ? fmt::format("{:.1f}%", 100 * figure.value) : fmt::format("{:.3f}", figure.value);
}

std::string split_table(const CheckReport& r) {
  std::vector<std::vector<std::string>> rows{{"split", "rows"}};
  for (const auto& label : r.labels) rows[0].push_back(label + " is 1");
  for (const auto& s : r.splits) {
    rows.push_back({s.name, std::to_string(s.rows)});
    for (const double rate : s.label_rates)
      rows.back().push_back(std::isfinite(rate) ? fmt::format("{:.2f}%", 100 * rate) : "-");
  }
  return table(rows);
}

std::string field_table(const CheckReport& r) {
  std::vector<std::string> heads;
  for (const auto& f : r.fields) {
    for (const auto& x : f.figures) {
      if (std::find(heads.begin(), heads.end(), x.name) == heads.end()) heads.push_back(x.name);
    }
  }
  std::vector<std::vector<std::string>> rows{{"field", "kind"}};
  rows[0].insert(rows[0].end(), heads.begin(), heads.end());
  for (const auto& f : r.fields) {
    rows.push_back({f.name, f.kind});
    for (const auto& head : heads) {
      const auto known = [&](const auto& x) { return x.name == head; };
      const auto found = std::find_if(f.figures.begin(), f.figures.end(), known);
      rows.back().push_back(found == f.figures.end() ? "-" : shown(*found));
    }
  }
  return table(rows);
}

std::string indented(const std::string& text) {
  std::string out;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    out += "    " + text.substr(begin, end - begin) + "\n";
    begin = end + 1;
  }
  return out;
}

std::string row_table(const Finding& f) {
  std::vector<std::vector<std::string>> rows{{"row"}};
  for (const auto& row : f.rows) {
    for (const auto& [column, cell] : row.cells) {
      if (std::find(rows[0].begin() + 1, rows[0].end(), column) == rows[0].end()) rows[0].push_back(column);
    }
  }
  for (const auto& row : f.rows) {
    rows.push_back({row.place});
    for (size_t c = 1; c < rows[0].size(); ++c) {
      const auto known = [&](const auto& cell) { return cell.first == rows[0][c]; };
      const auto found = std::find_if(row.cells.begin(), row.cells.end(), known);
      rows.back().push_back(found == row.cells.end() ? "" : found->second);
    }
  }
  return table(rows);
}

void print_finding(const Finding& f) {
  fmt::print("\n{}: {}{}: {}\n", to_string(f.severity), f.check,
             f.field.empty() ? "" : fmt::format(", field '{}'", printable(f.field)), printable(f.text));
  if (!f.rows.empty()) fmt::print("{}", indented(row_table(f)));
  if (!f.remedy.empty())
    fmt::print("  {}{}\n", printable(f.remedy), f.yaml.empty() || f.remedy.ends_with(":") ? "" : ":");
  if (!f.yaml.empty()) fmt::print("{}", indented(printable(f.yaml)));
}

void print(const CheckReport& r) {
  using Severity = Finding::Severity;
  fmt::print("{}\n{}", split_table(r), field_table(r));
  if (r.left_out_rows > 0) fmt::print("\n{} rows are left out by `filter` and `min_length`\n", r.left_out_rows);
  for (const Finding& f : r.findings) print_finding(f);
  const auto counted = [&](Severity severity, const char* word) {
    const int64_t n = r.count(severity);
    return fmt::format("{} {}{}", n, word, n == 1 ? "" : "s");
  };
  fmt::print("\n{} severe, {}, {}\n", r.count(Severity::severe), counted(Severity::warning, "warning"),
             counted(Severity::note, "note"));
}

/// A page of an earlier check may be replaced, anything else is a user's own.
void check_report(const std::filesystem::path& file) {
  if (!std::filesystem::exists(file)) return;
  constexpr std::string_view kBegins = "<!DOCTYPE html>";
  std::string begins(kBegins.size(), ' ');
  std::ifstream(file).read(begins.data(), std::streamsize(begins.size()));
  INTERPLAY_CHECK(begins == kBegins, "--report {}: exists already, and is no page; give another file", file.string());
}

void check(const Arguments& a, int threads) {
  if (!a.report.empty()) check_report(a.report);
  Config data = Config::load(a.data);
  set_all(data, a.sets);
  const CheckReport report = check_data(data, {a.rows, threads});
  const Json json = to_json(report, a.data);
  if (!a.report.empty()) write_file(a.report, page_html("check of " + a.data, text_of(json, -1), kCheckScript));
  a.json ? fmt::print("{}\n", text_of(json, 1)) : print(report);
  if (report.count(Finding::Severity::severe) > 0) throw ExitStatus{kSevereStatus};
}

std::function<void()> add(CLI::App& app) {
  auto a = std::make_shared<Arguments>();
  app.add_option("DATA", a->data, "data.yaml: files, label, fields")->required();
  app.add_option("--set", a->sets, "KEY=VALUE, on top of the file (may be given again)")->allow_extra_args(false);
  app.add_option("--rows", a->rows, "random rows of each split that are kept to be compared; counts are of all rows")
      ->capture_default_str()
      ->check(at_least(1));
  app.add_option("--report", a->report, "writes what was found as a page, too");
  app.add_flag("--json", a->json, "for machines");
  return [a, &app] {
    const auto* const threads = app.get_parent()->get_option("--threads");
    check(*a, threads->count() > 0 ? threads->as<int>() : 0);
  };
}

const AddCommand command("check", "what is wrong with raw files: leaks, drift, duplicates, ...", add);

}  // namespace
}  // namespace interplay::tool::check_command
