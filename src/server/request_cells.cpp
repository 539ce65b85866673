#include "server/request_cells.h"

#include <charconv>
#include <cstring>
#include <optional>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <simdjson.h>

namespace interplay::server {
namespace {

namespace json = simdjson::ondemand;

[[noreturn]] void bad(const std::string& message) { throw RequestError(400, message); }
[[noreturn]] void too_much(const std::string& message) { throw RequestError(413, message); }

void make_room(std::string& body) {
  if (body.capacity() < body.size() + simdjson::SIMDJSON_PADDING)
    body.reserve(body.size() + simdjson::SIMDJSON_PADDING);
}

/// Text of a number, true or false as it stands.
std::string_view as_written(json::value& value) {
  std::string_view token = value.raw_json_token();
  while (!token.empty() && uint8_t(token.back()) <= ' ') token.remove_suffix(1);
  return token;
}

void check_end(json::document& document) {
  const char* rest = nullptr;
  if (document.current_location().get(rest) == simdjson::SUCCESS)
    bad("something stands behind the request's last brace");
}

/// A string, a number, true, false, or null, which is a missing cell.
std::string_view plain_cell(json::value value, std::string_view column) {
  switch (value.type()) {
    case json::json_type::string: return value.get_string();
    case json::json_type::number: {
      const std::string_view token = as_written(value);
      value.get_double().value();  // which is one
      return token;
    }
    case json::json_type::boolean: return value.get_bool().value() ? "true" : "false";
    case json::json_type::null:
      if (!value.is_null()) bad("a word that is no JSON");
      return {};
    default: bad(fmt::format("column '{}': a cell is a string, a number or null", column));
  }
}

template <class T>
void print_numbers(std::string_view bytes, std::deque<std::string>& kept, std::vector<std::string_view>& out) {
  for (size_t i = 0; i + sizeof(T) <= bytes.size(); i += sizeof(T)) {
    T value;
    std::memcpy(&value, bytes.data() + i, sizeof value);
    char text[64];
    const auto [end, status] = std::to_chars(text, text + sizeof text, value);
    kept.emplace_back(text, end);
    out.push_back(kept.back());
  }
}

void split_texts(std::string_view bytes, const std::string& column, std::vector<std::string_view>& out) {
  while (!bytes.empty()) {
    uint32_t length = 0;
    if (bytes.size() >= sizeof length) std::memcpy(&length, bytes.data(), sizeof length);
    if (bytes.size() < sizeof length || length > bytes.size() - sizeof length) {
      bad(
          fmt::format("input '{}': its binary data end within an element (each is its length, four bytes, "
                      "little-endian, and that many bytes)",
                      column));
    }
    out.push_back(bytes.substr(sizeof length, length));
    bytes.remove_prefix(sizeof length + length);
  }
}

void read_binary(std::string_view bytes, const std::string& type, const std::string& column,
                 std::deque<std::string>& kept, std::vector<std::string_view>& out) {
  const auto numbers = [&]<class T>(T) {
    if (bytes.size() % sizeof(T) != 0) {
      bad(fmt::format("input '{}': {} bytes of {}, whose elements have {}", column, bytes.size(), type, sizeof(T)));
    }
    print_numbers<T>(bytes, kept, out);
  };
  if (type == "BYTES") return split_texts(bytes, column, out);
  if (type == "FP32") return numbers(float());
  if (type == "FP64") return numbers(double());
  if (type == "INT64") return numbers(int64_t());
  if (type == "INT32") return numbers(int32_t());
  if (type == "INT16") return numbers(int16_t());
  if (type == "INT8") return numbers(int8_t());
  if (type == "UINT64") return numbers(uint64_t());
  if (type == "UINT32") return numbers(uint32_t());
  if (type == "UINT16") return numbers(uint16_t());
  if (type == "UINT8") return numbers(uint8_t());
  bad(fmt::format("input '{}': datatype {} is not taken; BYTES is, FP32, FP64 and the whole numbers", column, type));
}

constexpr std::string_view kTypes[] = {"BYTES", "BOOL", "FP32",   "FP64",   "INT64",  "INT32",
                                       "INT16", "INT8", "UINT64", "UINT32", "UINT16", "UINT8"};

/// An input of a request, as far as it was read.
struct Input {
  std::string name, type;
  std::optional<std::vector<int64_t>> shape;
  std::optional<size_t> first;  // of its cells among all
  size_t count = 0;
  std::optional<int64_t> binary_bytes;
};

void read_data(json::array array, const std::string& name, std::vector<std::string_view>& out, int depth,
               int64_t most) {
  for (json::value value : array) {
    if (value.type() == json::json_type::array) {
      if (depth > 1) bad(fmt::format("input '{}': its data are lists of lists of lists", name));
      read_data(value.get_array(), name, out, depth + 1, most);
      continue;
    }
    if (int64_t(out.size()) >= most) too_much(fmt::format("more than {} cells, the most that is taken", most));
    out.push_back(plain_cell(value, name));
  }
}

}  // namespace

RequestColumns::RequestColumns(std::vector<std::string> n, std::vector<std::string> s)
    : names(std::move(n)), separators(std::move(s)) {
  for (size_t c = 0; c < names.size(); ++c) places.emplace(names[c], c);
}

struct RequestCells::Parser {
  json::parser json;
};

RequestCells::RequestCells() : parser_(std::make_unique<Parser>()) {}
RequestCells::~RequestCells() = default;

std::string_view RequestCells::keep(std::string text) { return kept_.emplace_back(std::move(text)); }

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

void RequestCells::finish(const RequestColumns& columns, const CellLimits& limits) {
  if (rows_ > limits.rows) too_much(fmt::format("{} rows; {} are the most that is taken", rows_, limits.rows));
  std::vector<std::string> absent;
  for (size_t c = 0; c < columns.names.size(); ++c) {
    if (!given_[c]) absent.push_back(columns.names[c]);
  }
  if (!absent.empty() && rows_ > 0) {
    bad(fmt::format("column{} {}: the model reads {}, and no row has {}; an empty or null cell is a missing value",
                    absent.size() > 1 ? "s" : "", fmt::join(absent, ", "), absent.size() > 1 ? "them" : "it",
                    absent.size() > 1 ? "them" : "it"));
  }
}

void RequestCells::read_rows(std::string& body, const RequestColumns& columns, const CellLimits& limits) {
  begin(columns);
  make_room(body);
  try {
    const auto cell_of = [&](json::value value, size_t c) -> std::string_view {
      if (value.type() != json::json_type::array) return plain_cell(value, columns.names[c]);
      const std::string& separator = columns.separators[c];
      if (separator.empty()) bad(fmt::format("column '{}': a list, where a cell is one value", columns.names[c]));
      std::string joined;
      bool first = true;
      for (json::value entry : value.get_array()) {
        const std::string_view text = plain_cell(entry, columns.names[c]);
        if (text.find(separator) != std::string_view::npos) {
          bad(fmt::format("column '{}': an entry has '{}' in it, which is what parts entries", columns.names[c],
                          separator));
        }
        if (!first) joined += separator;
        first = false;
        joined += text;
      }
      return keep(std::move(joined));
    };
    const auto read_user = [&](json::object object) {
      for (auto field : object) {
        const std::string_view name = field.unescaped_key();
        const auto place = columns.places.find(name);
        if (place == columns.places.end()) continue;
        const size_t c = place->second;
        if (user_[c]) bad(fmt::format("column '{}' is given twice", columns.names[c]));
        user_[c] = given_[c] = 1;
        cells_[c].assign(1, cell_of(field.value(), c));
      }
    };
    const auto read_candidates = [&](json::array array) {
      size_t next = 0;  // rows name their columns in one order, as a rule
      int64_t cells = 0;
      const size_t width = columns.names.size();
      for (json::object object : array) {
        if (rows_ >= limits.rows) too_much(fmt::format("more than {} rows, the most that is taken", limits.rows));
        cells += int64_t(width);
        if (cells > limits.cells) too_much(fmt::format("more than {} cells, the most that is taken", limits.cells));
        for (auto field : object) {
          const std::string_view name = field.unescaped_key();
          size_t c = next;
          if (c >= width || columns.names[c] != name) {
            const auto place = columns.places.find(name);
            if (place == columns.places.end()) continue;
            c = place->second;
          }
          next = c + 1 < width ? c + 1 : 0;
          if (user_[c]) bad(fmt::format("column '{}' is given for the user and for a candidate", columns.names[c]));
          auto& column = cells_[c];
          if (int64_t(column.size()) > rows_) bad(fmt::format("column '{}' is given twice in a row", columns.names[c]));
          column.resize(size_t(rows_));
          column.push_back(cell_of(field.value(), c));
          given_[c] = 1;
        }
        ++rows_;
      }
    };
    json::document document = parser_->json.iterate(body.data(), body.size(), body.capacity());
    bool rows = false, user = false, candidates = false;
    // The user's columns have to be known before the candidates': both are looked for, and read in that order.
    json::object whole = document.get_object();
    for (auto field : whole) {
      const std::string_view key = field.unescaped_key();
      rows = rows || key == "rows";
      user = user || key == "user";
      candidates = candidates || key == "candidates";
      if (key != "rows" && key != "user" && key != "candidates" && key != "id") {
        bad(fmt::format("key '{}': expected \"rows\", or \"user\" and \"candidates\"", key));
      }
    }
    if (rows == candidates || (rows && user)) {
      bad("expected {\"rows\": [{column: cell}]}, or {\"user\": {column: cell}, \"candidates\": [{column: cell}]}");
    }
    check_end(document);
    document.rewind();
    whole = document.get_object();
    if (user) read_user(whole["user"].get_object());
    read_candidates(whole[rows ? "rows" : "candidates"].get_array());
  } catch (const simdjson::simdjson_error& error) {
    bad(fmt::format("the body is not the JSON that is expected: {}", error.what()));
  }
  for (size_t c = 0; c < columns.names.size(); ++c) {
    if (!user_[c]) cells_[c].resize(size_t(rows_));
  }
  finish(columns, limits);
}

void RequestCells::read_v2(std::string& body, int64_t head_bytes, const RequestColumns& columns,
                           const CellLimits& limits) {
  begin(columns);
  make_room(body);
  if (head_bytes > int64_t(body.size())) {
    bad(fmt::format("Inference-Header-Content-Length {}: the body has {} bytes", head_bytes, body.size()));
  }
  const size_t head = head_bytes < 0 ? body.size() : size_t(head_bytes);
  std::vector<Input> inputs;
  try {
    json::document document = parser_->json.iterate(body.data(), head, body.capacity());
    json::object whole = document.get_object();
    for (auto field : whole) {
      const std::string_view key = field.unescaped_key();
      if (key == "id") {
        id_ = std::string(field.value().get_string().value());
      } else if (key == "parameters") {
        for (auto parameter : field.value().get_object()) {
          if (std::string_view(parameter.unescaped_key()) == "binary_data_output")
            all_binary_ = parameter.value().get_bool();
        }
      } else if (key == "outputs") {
        for (json::object object : field.value().get_array()) {
          WantedOutput& out = outputs_.emplace_back();
          for (auto entry : object) {
            const std::string_view name = entry.unescaped_key();
            if (name == "name") {
              out.name = std::string(entry.value().get_string().value());
            } else if (name == "parameters") {
              for (auto parameter : entry.value().get_object()) {
                const std::string_view which = parameter.unescaped_key();
                if (which == "binary_data") out.binary = parameter.value().get_bool();
                if (which == "classification") bad("outputs: classification is not served; leave `class_count` away");
              }
            }
          }
        }
      } else if (key == "inputs") {
        for (json::object object : field.value().get_array()) {
          Input& in = inputs.emplace_back();
          for (auto entry : object) {
            const std::string_view name = entry.unescaped_key();
            if (name == "name") {
              in.name = std::string(entry.value().get_string().value());
            } else if (name == "datatype") {
              in.type = std::string(entry.value().get_string().value());
            } else if (name == "shape") {
              in.shape.emplace();
              for (json::value size : entry.value().get_array()) in.shape->push_back(size.get_int64());
            } else if (name == "data") {
              in.first = flat_.size();
              read_data(entry.value().get_array(), in.name, flat_, 0, limits.cells);
              in.count = flat_.size() - *in.first;
            } else if (name == "parameters") {
              for (auto parameter : entry.value().get_object()) {
                const std::string_view which = parameter.unescaped_key();
                if (which == "binary_data_size") in.binary_bytes = parameter.value().get_int64();
                if (which == "shared_memory_region") bad("inputs: shared memory is not served; send the data");
              }
            }
          }
        }
      }
    }
    check_end(document);
  } catch (const simdjson::simdjson_error& error) {
    bad(fmt::format("the body is not the JSON that is expected: {}", error.what()));
  }
  std::string_view rest = std::string_view(body).substr(head);
  for (Input& in : inputs) {
    if (in.name.empty()) bad("an input has no name");
    if (std::find(std::begin(kTypes), std::end(kTypes), in.type) == std::end(kTypes)) {
      bad(fmt::format("input '{}': datatype '{}'; expected one of {}", in.name, in.type, fmt::join(kTypes, ", ")));
    }
    if (in.binary_bytes) {
      if (in.first) bad(fmt::format("input '{}' has data and binary_data_size", in.name));
      if (*in.binary_bytes < 0 || *in.binary_bytes > int64_t(rest.size())) {
        bad(fmt::format("input '{}': binary_data_size {}, where {} bytes are left", in.name, *in.binary_bytes,
                        rest.size()));
      }
      in.first = flat_.size();
      read_binary(rest.substr(0, size_t(*in.binary_bytes)), in.type, in.name, kept_, flat_);
      in.count = flat_.size() - *in.first;
      rest.remove_prefix(size_t(*in.binary_bytes));
    }
    if (!in.first) bad(fmt::format("input '{}' has neither data nor binary_data_size", in.name));
    if (int64_t(flat_.size()) > limits.cells)
      too_much(fmt::format("more than {} cells, the most that is taken", limits.cells));
  }
  if (!rest.empty()) bad(fmt::format("{} bytes stand behind the inputs' binary data", rest.size()));
  if (inputs.empty()) bad("`inputs` is empty, or not there");

  // [N] or [N, 1]; [N, L] where the column holds lists.
  for (const Input& in : inputs) {
    if (!in.shape || in.shape->empty() || in.shape->size() > 2) {
      bad(fmt::format("input '{}': expected a shape of one size, or of two where its cells are lists", in.name));
    }
    for (const int64_t size : *in.shape) {
      if (size < 0 || size > limits.cells)
        bad(fmt::format("input '{}': shape [{}]", in.name, fmt::join(*in.shape, ", ")));
    }
    const int64_t length = in.shape->size() == 2 ? in.shape->at(1) : 1;
    if (in.shape->at(0) * length != int64_t(in.count)) {
      bad(fmt::format("input '{}': shape [{}], but {} elements", in.name, fmt::join(*in.shape, ", "), in.count));
    }
    rows_ = std::max(rows_, in.shape->at(0));
  }
  for (const Input& in : inputs) {
    const auto place = columns.places.find(in.name);
    if (place == columns.places.end()) {
      bad(fmt::format("input '{}': the model reads no such column; its inputs are {}", in.name,
                      fmt::join(columns.names, ", ")));
    }
    const size_t c = place->second;
    if (given_[c]) bad(fmt::format("input '{}' is given twice", in.name));
    const int64_t own = in.shape->at(0);
    if (own != rows_ && own != 1) {
      bad(fmt::format("input '{}': {} rows, where others have {}; expected as many, or 1 for what is the user's",
                      in.name, own, rows_));
    }
    given_[c] = 1;
    user_[c] = own != rows_;
    const int64_t length = in.shape->size() == 2 ? in.shape->at(1) : 1;
    const std::string_view* from = flat_.data() + *in.first;
    if (in.shape->size() == 1 || length == 1) {
      cells_[c].assign(from, from + own);
      continue;
    }
    const std::string& separator = columns.separators[c];
    if (separator.empty()) {
      bad(fmt::format("input '{}': shape [{}], where a cell is one value", in.name, fmt::join(*in.shape, ", ")));
    }
    for (int64_t r = 0; r < own; ++r) {
      std::string joined;
      for (int64_t i = 0; i < length; ++i, ++from) {
        if (from->empty()) continue;  // fills a shorter list up
        if (from->find(separator) != std::string_view::npos) {
          bad(fmt::format("input '{}': an entry has '{}' in it, which is what parts entries", in.name, separator));
        }
        if (!joined.empty()) joined += separator;
        joined += *from;
      }
      cells_[c].push_back(keep(std::move(joined)));
    }
  }
  finish(columns, limits);
}

}  // namespace interplay::server
