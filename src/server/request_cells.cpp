#include "server/request_cells.h"

#include <charconv>
#include <cmath>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace interplay::server {

using Kind = JsonTape::Kind;

void bad_request(const std::string& message) { throw RequestError(400, message); }
void too_much(const std::string& message) { throw RequestError(413, message); }

RequestColumns::RequestColumns(std::vector<std::string> n, std::vector<std::string> s, std::vector<bool> w)
    : names(std::move(n)), separators(std::move(s)), whole(std::move(w)) {
  whole.resize(names.size());
  for (size_t c = 0; c < names.size(); ++c) places.emplace(names[c], c);
}

JsonTape::Members parse_object(JsonTape& tape, std::string& body, size_t length) {
  try {
    const auto value = tape.parse(body, length);
    if (!value.is(Kind::object)) bad_request("the body is no JSON object");
    return value.members();
  } catch (const Error& error) {
    throw RequestError(400, fmt::format("the body is {}", error.what()));
  }
}

std::string_view plain_cell(JsonTape::Value value, std::string_view column) {
  if (value.is(Kind::array) || value.is(Kind::object))
    bad_request(fmt::format("column '{}': a cell is a string, a number or null", column));
  return value.text();
}

void RequestCells::begin(const RequestColumns& columns) {
  cells_.resize(columns.names.size());
  for (auto& column : cells_) column.clear();
  given_.assign(columns.names.size(), 0);
  user_.assign(columns.names.size(), 0);
  flat_.clear();
  kept_.clear();
  outputs_.clear();
  id_.clear();
  rows_ = 0;
  all_binary_ = false;
}

void RequestCells::finish(const CellLimits& limits) {
  if (rows_ > limits.rows) too_much(fmt::format("{} rows; {} are the most that is taken", rows_, limits.rows));
}

std::string_view RequestCells::cell_text(JsonTape::Value value, const RequestColumns& columns, size_t c) {
  const std::string_view text = plain_cell(value, columns.names[c]);
  constexpr double kExact = 9007199254740992;  // 2^53
  if (!columns.whole[c] || !value.is(Kind::number) || text.find_first_of(".eE") == text.npos) return text;
  double number = 0;
  const auto [end, status] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (status != std::errc() || number != std::trunc(number) || std::abs(number) > kExact) return text;
  return keep(fmt::format("{}", int64_t(number)));
}

std::string_view RequestCells::keep(std::string text) { return kept_.emplace_back(std::move(text)); }

void RequestCells::append_entry(std::string& list, std::string_view entry, const RequestColumns& columns, size_t c,
                                bool first) {
  const std::string& separator = columns.separators[c];
  if (entry.find(separator) != std::string_view::npos) {
    bad_request(
        fmt::format("column '{}': an entry has '{}' in it, which is what parts entries", columns.names[c], separator));
  }
  if (!first) list += separator;
  list += entry;
}

std::string_view RequestCells::read_cell(JsonTape::Value value, const RequestColumns& columns, size_t c) {
  if (!value.is(Kind::array)) return cell_text(value, columns, c);
  if (columns.separators[c].empty())
    bad_request(fmt::format("column '{}': a list, where a cell is one value", columns.names[c]));
  std::string joined;
  bool first = true;
  for (const auto entry : value.values()) {
    append_entry(joined, cell_text(entry, columns, c), columns, c, first);
    first = false;
  }
  return keep(std::move(joined));
}

void RequestCells::read_user(JsonTape::Members user, const RequestColumns& columns) {
  for (const auto [name, value] : user) {
    const auto place = columns.places.find(name);
    if (place == columns.places.end()) continue;
    const size_t c = place->second;
    if (user_[c]) bad_request(fmt::format("column '{}' is given twice", columns.names[c]));
    user_[c] = given_[c] = 1;
    cells_[c].assign(1, read_cell(value, columns, c));
  }
}

void RequestCells::read_candidate(JsonTape::Members row, const RequestColumns& columns) {
  const size_t width = columns.names.size();
  size_t next = 0;  // rows name their columns in one order, as a rule
  for (const auto [name, value] : row) {
    size_t c = next;
    while (c < width && user_[c]) ++c;
    if (c >= width || columns.names[c] != name) {
      const auto place = columns.places.find(name);
      if (place == columns.places.end()) continue;
      c = place->second;
    }
    next = c + 1;
    if (user_[c]) bad_request(fmt::format("column '{}' is given for the user and for a candidate", columns.names[c]));
    auto& column = cells_[c];
    if (int64_t(column.size()) > rows_)
      bad_request(fmt::format("column '{}' is given twice in a row", columns.names[c]));
    column.resize(size_t(rows_));
    column.push_back(read_cell(value, columns, c));
    given_[c] = 1;
  }
}

void RequestCells::read_rows(std::string& body, const RequestColumns& columns, const CellLimits& limits) {
  begin(columns);
  std::optional<JsonTape::Value> rows, user, candidates;
  for (const auto [key, value] : parse_object(tape_, body)) {
    auto* const place = key == "rows" ? &rows : key == "user" ? &user : key == "candidates" ? &candidates : nullptr;
    if (key == "id") {
      id_ = plain_cell(value, "id");
    } else if (!place) {
      bad_request(fmt::format("key '{}': expected \"rows\", or \"user\" and \"candidates\", and \"id\"", key));
    } else if (place->has_value()) {
      bad_request(fmt::format("key '{}' is given twice", key));
    } else {
      place->emplace(value);
    }
  }
  const auto& of = rows ? rows : candidates;
  if (rows.has_value() == candidates.has_value() || (rows && user) || !of->is(Kind::array) ||
      (user && !user->is(Kind::object))) {
    bad_request(
        "expected {\"rows\": [{column: cell}]}, or {\"user\": {column: cell}, \"candidates\": [{column: cell}]}");
  }
  if (user) read_user(user->members(), columns);
  for (const auto row : of->values()) {
    if (!row.is(Kind::object)) bad_request(fmt::format("row {}: expected {{column: cell}}", rows_ + 1));
    if (rows_ >= limits.rows) too_much(fmt::format("more than {} rows, the most that is taken", limits.rows));
    if ((rows_ + 1) * int64_t(columns.names.size()) > limits.cells)
      too_much(fmt::format("more than {} cells, the most that is taken", limits.cells));
    read_candidate(row.members(), columns);
    ++rows_;
  }
  for (size_t c = 0; c < columns.names.size(); ++c) {
    if (!user_[c]) cells_[c].resize(size_t(rows_));
  }
  finish(limits);
}

std::vector<size_t> places_of(const RequestColumns& wanted, const ColumnCells& cells, const RequestColumns& read_as) {
  std::vector<size_t> places;
  std::vector<std::string> absent;
  for (const auto& name : wanted.names) {
    const auto place = read_as.places.find(name);
    if (place == read_as.places.end() || !cells.given(place->second)) {
      absent.push_back(name);
    } else {
      places.push_back(place->second);
    }
  }
  if (!absent.empty() && cells.rows() > 0) {
    const char* const them = absent.size() > 1 ? "them" : "it";
    bad_request(
        fmt::format("column{} {}: the model reads {}, and no row has {}; an empty or null cell is a missing value",
                    absent.size() > 1 ? "s" : "", fmt::join(absent, ", "), them, them));
  }
  return places;
}

}  // namespace interplay::server
