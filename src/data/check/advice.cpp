#include "data/check/advice.h"

#include <algorithm>

namespace interplay {
namespace {

std::string shown_cell(const RawColumn& column, int64_t row) {
  constexpr size_t kLongest = 60;
  std::string out;
  if (column.is_list()) {
    for (int64_t c = column.list_offsets[row]; c < column.list_offsets[row + 1] && out.size() <= kLongest; ++c) {
      out += (out.empty() ? "" : "|") + std::string(column.cell(c));
    }
  } else {
    out = column.cell(row);
  }
  if (out.size() <= kLongest) return out;
  size_t end = kLongest;
  while (end > 0 && (out[end] & 0xC0) == 0x80) --end;  // not within a character
  return out.substr(0, end) + "...";
}

/// Where the entry of a field stands in `fields:`.
size_t place_of_entry(const CheckedData& data, size_t field) {
  const auto source = data.spec.source_of(data.parser.schema().fields()[field].name);
  std::vector<const FieldSource*> seen;
  for (const auto& each : data.spec.sources) {
    if (std::find(seen.begin(), seen.end(), each.get()) == seen.end()) seen.push_back(each.get());
  }
  return size_t(std::find(seen.begin(), seen.end(), source.get()) - seen.begin());
}

Config names(const std::vector<std::string>& texts) {
  std::vector<Config> items;
  for (const auto& text : texts) items.push_back(Config::scalar(text, true));
  return Config::sequence(std::move(items));
}

}  // namespace

Finding::Row shown_row(const CheckFacts& facts, const SampledRows& from, int64_t row,
                       std::vector<std::string> columns) {
  for (const LabelOptions& label : facts.data.spec.labels) columns.push_back(label.column);
  Finding::Row out{from.places[size_t(row)], {}};
  for (const auto& name : columns) {
    const auto known = [&](const auto& cell) { return cell.first == name; };
    const RawColumn* const column = from.values.raw.find(name);
    if (column && std::none_of(out.cells.begin(), out.cells.end(), known))
      out.cells.emplace_back(name, shown_cell(*column, row));
  }
  return out;
}

std::string fields_with(const CheckedData& data, size_t field, const Config& instead) {
  Config entry = data.yaml["fields"].items()[place_of_entry(data, field)];
  std::vector<Config> entries;
  if (entry.has("columns")) {
    std::vector<std::string> columns;
    for (const Config& name : entry["columns"].items()) columns.push_back(name.as<std::string>());
    columns = expand_ranges(columns, entry["columns"]);
    std::erase(columns, data.parser.encoding(field).column);
    entry.set_key("columns", names(columns));
    if (!columns.empty()) entries.push_back(entry);
  }
  if (instead.size() > 0) entries.push_back(instead);
  if (entries.empty()) return "";
  Config out;
  out.set("fields", Config::sequence(std::move(entries)));
  return out.yaml();
}

std::string fields_without(const CheckedData& data, size_t field) { return fields_with(data, field, Config()); }

Config entry_of(const CheckedData& data, size_t field) {
  const Config written = data.yaml["fields"].items()[place_of_entry(data, field)];
  Config out;
  out.set("column", Config::scalar(data.parser.encoding(field).column, true));
  for (const auto& key : written.keys()) {
    if (key != "columns" && key != "column") out.set_key(key, written[key]);
  }
  return out;
}

std::string list_yaml(const std::string& key, const std::vector<std::string>& texts) {
  Config out;
  out.set(key, names(texts));
  return out.yaml();
}

std::string percent(double share) {
  const double p = 100 * share;
  return fmt::format("{:.{}f}%", p, p == 0 || p >= 1 ? 1 : p >= 0.1 ? 2 : 3);
}

CheckReport::FieldFigures& figures_of(CheckReport& report, const CheckFacts& facts, size_t field) {
  const std::string& name = facts.data.parser.schema().fields()[field].name;
  return *std::find_if(report.fields.begin(), report.fields.end(), [&](const auto& f) { return f.name == name; });
}

std::string time_column(const CheckedData& data) {
  const DataOptions& o = data.spec.options;
  if (!o.time.empty()) return o.time;
  if (o.split && !o.split->time.empty()) return o.split->time;
  for (const PastEvents& past : data.spec.past()) return past.time;
  for (size_t f = 0; f < data.parser.schema().fields().size(); ++f) {
    std::string name = data.parser.encoding(f).column;
    std::transform(name.begin(), name.end(), name.begin(), [](char c) { return c >= 'A' && c <= 'Z' ? c + 32 : c; });
    for (const char* time : {"time", "timestamp", "ts", "time_stamp", "unix_time", "event_time"}) {
      if (name == time) return data.parser.encoding(f).column;
    }
  }
  return "";
}

}  // namespace interplay
