#include <algorithm>
#include <charconv>
#include <cstring>
#include <optional>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "server/request_cells.h"

namespace interplay::server {
namespace {

using Kind = JsonTape::Kind;

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
      bad_request(
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
      bad_request(
          fmt::format("input '{}': {} bytes of {}, whose elements have {}", column, bytes.size(), type, sizeof(T)));
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
  bad_request(
      fmt::format("input '{}': datatype {} is not taken; BYTES is, FP32, FP64 and the whole numbers", column, type));
}

constexpr std::string_view kTypes[] = {"BYTES", "BOOL", "FP32",   "FP64",   "INT64",  "INT32",
                                       "INT16", "INT8", "UINT64", "UINT32", "UINT16", "UINT8"};

void check_kind(JsonTape::Value value, Kind kind, const char* key, const char* what) {
  if (!value.is(kind)) bad_request(fmt::format("`{}`: expected {}", key, what));
}
std::string text_of(JsonTape::Value value, const char* key) {
  check_kind(value, Kind::string, key, "text");
  return std::string(value.text());
}
bool truth_of(JsonTape::Value value, const char* key) {
  check_kind(value, Kind::boolean, key, "true or false");
  return value.text() == "true";
}
int64_t whole_of(JsonTape::Value value, const char* key) {
  const std::string_view text = value.text();
  int64_t number = 0;
  const auto [end, status] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (!value.is(Kind::number) || status != std::errc() || end != text.data() + text.size())
    bad_request(fmt::format("`{}`: expected a whole number", key));
  return number;
}
JsonTape::Members members_of(JsonTape::Value value, const char* key) {
  check_kind(value, Kind::object, key, "an object");
  return value.members();
}
JsonTape::Values values_of(JsonTape::Value value, const char* key) {
  check_kind(value, Kind::array, key, "a list");
  return value.values();
}

/// Lists of lists are one list, row after row.
void read_data(JsonTape::Values values, const std::string& name, std::vector<std::string_view>& out, int64_t most,
               int depth = 0) {
  for (const auto value : values) {
    if (value.is(Kind::array)) {
      if (depth > 1) bad_request(fmt::format("input '{}': its data are lists of lists of lists", name));
      read_data(value.values(), name, out, most, depth + 1);
      continue;
    }
    if (int64_t(out.size()) >= most) too_much(fmt::format("more than {} cells, the most that is taken", most));
    out.push_back(plain_cell(value, name));
  }
}

WantedOutput wanted_output(JsonTape::Value value) {
  WantedOutput out;
  for (const auto [key, entry] : members_of(value, "outputs")) {
    if (key == "name") out.name = text_of(entry, "name");
    if (key != "parameters") continue;
    for (const auto [which, parameter] : members_of(entry, "parameters")) {
      if (which == "binary_data") out.binary = truth_of(parameter, "binary_data");
      if (which == "classification") bad_request("outputs: classification is not served; leave `class_count` away");
    }
  }
  return out;
}

}  // namespace

/// An input of a request, as far as it was read.
struct RequestCells::Input {
  std::string name, type;
  std::optional<std::vector<int64_t>> shape;
  std::optional<size_t> first;  // of its cells among all
  size_t count = 0;
  std::optional<int64_t> binary_bytes;

  int64_t rows() const { return shape->at(0); }
  int64_t length() const { return shape->size() == 2 ? shape->at(1) : 1; }  // of a row
};

RequestCells::Input RequestCells::read_input(JsonTape::Value value, const CellLimits& limits) {
  Input in;
  std::optional<JsonTape::Value> data;
  for (const auto [key, entry] : members_of(value, "inputs")) {
    if (key == "name") in.name = text_of(entry, "name");
    if (key == "datatype") in.type = text_of(entry, "datatype");
    if (key == "data") data = entry;
    if (key == "shape") {
      in.shape.emplace();
      for (const auto size : values_of(entry, "shape")) in.shape->push_back(whole_of(size, "shape"));
    }
    if (key != "parameters") continue;
    for (const auto [which, parameter] : members_of(entry, "parameters")) {
      if (which == "binary_data_size") in.binary_bytes = whole_of(parameter, "binary_data_size");
      if (which == "shared_memory_region") bad_request("inputs: shared memory is not served; send the data");
    }
  }
  if (!data) return in;
  in.first = flat_.size();
  read_data(values_of(*data, "data"), in.name, flat_, limits.cells);
  in.count = flat_.size() - *in.first;
  return in;
}

void RequestCells::take_binary(Input& in, std::string_view& rest) {
  if (in.name.empty()) bad_request("an input has no name");
  if (std::find(std::begin(kTypes), std::end(kTypes), in.type) == std::end(kTypes)) {
    bad_request(
        fmt::format("input '{}': datatype '{}'; expected one of {}", in.name, in.type, fmt::join(kTypes, ", ")));
  }
  if (!in.binary_bytes) {
    if (!in.first) bad_request(fmt::format("input '{}' has neither data nor binary_data_size", in.name));
    return;
  }
  if (in.first) bad_request(fmt::format("input '{}' has data and binary_data_size", in.name));
  if (*in.binary_bytes < 0 || *in.binary_bytes > int64_t(rest.size())) {
    bad_request(fmt::format("input '{}': binary_data_size {}, where {} bytes are left", in.name, *in.binary_bytes,
                            rest.size()));
  }
  in.first = flat_.size();
  read_binary(rest.substr(0, size_t(*in.binary_bytes)), in.type, in.name, kept_, flat_);
  in.count = flat_.size() - *in.first;
  rest.remove_prefix(size_t(*in.binary_bytes));
}

/// [N] or [N, 1]; [N, L] where the column holds lists.
void RequestCells::check_shape(const Input& in, const CellLimits& limits) {
  if (!in.shape || in.shape->empty() || in.shape->size() > 2) {
    bad_request(fmt::format("input '{}': expected a shape of one size, or of two where its cells are lists", in.name));
  }
  for (const int64_t size : *in.shape) {
    if (size < 0 || size > limits.cells)
      bad_request(fmt::format("input '{}': shape [{}]", in.name, fmt::join(*in.shape, ", ")));
  }
  if (in.rows() * in.length() != int64_t(in.count)) {
    bad_request(fmt::format("input '{}': shape [{}], but {} elements", in.name, fmt::join(*in.shape, ", "), in.count));
  }
}

void RequestCells::place_input(const Input& in, const RequestColumns& columns) {
  const auto place = columns.places.find(in.name);
  if (place == columns.places.end()) {
    bad_request(fmt::format("input '{}': the model reads no such column; its inputs are {}", in.name,
                            fmt::join(columns.names, ", ")));
  }
  const size_t c = place->second;
  if (given_[c]) bad_request(fmt::format("input '{}' is given twice", in.name));
  if (in.rows() != rows_ && in.rows() != 1) {
    bad_request(fmt::format("input '{}': {} rows, where others have {}; expected as many, or 1 for what is the user's",
                            in.name, in.rows(), rows_));
  }
  given_[c] = 1;
  user_[c] = in.rows() != rows_;
  const std::string_view* from = flat_.data() + *in.first;
  if (in.length() == 1) {
    cells_[c].assign(from, from + in.rows());
    return;
  }
  if (columns.separators[c].empty()) {
    bad_request(fmt::format("input '{}': shape [{}], where a cell is one value", in.name, fmt::join(*in.shape, ", ")));
  }
  for (int64_t r = 0; r < in.rows(); ++r) {
    std::string joined;
    for (int64_t i = 0; i < in.length(); ++i, ++from) {
      if (!from->empty()) append_entry(joined, *from, columns, c, joined.empty());  // empty: fills a shorter list up
    }
    cells_[c].push_back(keep(std::move(joined)));
  }
}

void RequestCells::read_v2(std::string& body, int64_t head_bytes, const RequestColumns& columns,
                           const CellLimits& limits) {
  begin(columns);
  if (head_bytes > int64_t(body.size())) {
    bad_request(fmt::format("Inference-Header-Content-Length {}: the body has {} bytes", head_bytes, body.size()));
  }
  const size_t head = head_bytes < 0 ? body.size() : size_t(head_bytes);
  std::vector<Input> inputs;
  for (const auto [key, value] : parse_object(tape_, body, head)) {
    if (key == "id") id_ = plain_cell(value, "id");
    if (key == "parameters") {
      for (const auto [which, parameter] : members_of(value, "parameters")) {
        if (which == "binary_data_output") all_binary_ = truth_of(parameter, "binary_data_output");
      }
    }
    if (key == "outputs") {
      for (const auto output : values_of(value, "outputs")) outputs_.push_back(wanted_output(output));
    }
    if (key == "inputs") {
      for (const auto input : values_of(value, "inputs")) inputs.push_back(read_input(input, limits));
    }
  }
  std::string_view rest = std::string_view(body).substr(head);
  for (Input& in : inputs) {
    take_binary(in, rest);
    if (int64_t(flat_.size()) > limits.cells)
      too_much(fmt::format("more than {} cells, the most that is taken", limits.cells));
  }
  if (!rest.empty()) bad_request(fmt::format("{} bytes stand behind the inputs' binary data", rest.size()));
  if (inputs.empty()) bad_request("`inputs` is empty, or not there");
  for (const Input& in : inputs) {
    check_shape(in, limits);
    rows_ = std::max(rows_, in.rows());
  }
  for (const Input& in : inputs) place_input(in, columns);
  finish(limits);
}

}  // namespace interplay::server
