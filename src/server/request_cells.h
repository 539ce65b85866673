#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include <interplay/base/error.h>
#include <interplay/base/json_tape.h>

#include "server/column_cells.h"

namespace interplay::server {

/// A request that cannot be answered, and what the client is told.
struct RequestError : std::runtime_error {
  RequestError(int http_status, const std::string& message) : std::runtime_error(message), status(http_status) {}
  int status;
};

[[noreturn]] void bad_request(const std::string& message);  ///< 400
[[noreturn]] void too_much(const std::string& message);     ///< 413

struct CellLimits {
  int64_t rows = 100000;     ///< of a request: 413
  int64_t cells = 10000000;  ///< of a request: 413
};

/// The raw columns of a model, as a request has to name them.
struct RequestColumns {
  explicit RequestColumns(std::vector<std::string> names, std::vector<std::string> separators,
                          std::vector<bool> whole = {});

  std::vector<std::string> names;
  std::vector<std::string> separators;  ///< beside names: between the entries of a cell; "": a cell is one value
  std::vector<bool> whole;              ///< beside names: whether 7.0 means 7; {}: in none
  std::map<std::string, size_t, std::less<>> places;
};

/// What is wanted back of a request of protocol v2.
struct WantedOutput {
  std::string name;
  bool binary = false;
};

/// A body, or its first bytes, as a JSON object. Throws RequestError.
JsonTape::Members parse_object(JsonTape& tape, std::string& body, size_t length = std::string::npos);
/// A string, a number as it is written, true, false, or null, which is empty. Throws RequestError, naming the column.
std::string_view plain_cell(JsonTape::Value value, std::string_view column);

/// The cells of a request, as views into its body and into what this object keeps; columns that it has not are empty,
/// which check_given() tells. Reused from
/// request to request, so that memory grows once. Not for two threads at once.
class RequestCells final : public ColumnCells {
 public:
  /// {"rows": [{column: cell}]} or {"user": {column: cell}, "candidates": [{column: cell}]}, and "id". A cell is a
  /// string, a number, null, or a list of them where the column holds lists; columns that the model does not read are
  /// passed over. Throws RequestError. The body is written over.
  void read_rows(std::string& body, const RequestColumns& columns, const CellLimits& limits);

  /// Open Inference Protocol v2: `inputs`, each with name, shape, datatype and data, or with binary_data_size bytes
  /// behind the first `head_bytes` (Triton's binary tensors; the whole body where it is negative). A column of shape
  /// [1] beside others of [N] is the user's.
  void read_v2(std::string& body, int64_t head_bytes, const RequestColumns& columns, const CellLimits& limits);

  const std::string& id() const { return id_; }
  const std::vector<WantedOutput>& outputs() const { return outputs_; }  ///< empty: all
  bool all_binary() const { return all_binary_; }

 private:
  struct Input;

  void begin(const RequestColumns& columns);
  void finish(const CellLimits& limits);
  std::string_view keep(std::string text);
  static void append_entry(std::string& list, std::string_view entry, const RequestColumns& columns, size_t column,
                           bool first);
  std::string_view cell_text(JsonTape::Value value, const RequestColumns& columns, size_t column);
  std::string_view read_cell(JsonTape::Value value, const RequestColumns& columns, size_t column);
  void read_user(JsonTape::Members user, const RequestColumns& columns);
  void read_candidate(JsonTape::Members row, const RequestColumns& columns);
  Input read_input(JsonTape::Value value, const CellLimits& limits);
  void take_binary(Input& in, std::string_view& rest);
  static void check_shape(const Input& in, const CellLimits& limits);
  void place_input(const Input& in, const RequestColumns& columns);

  JsonTape tape_;
  std::vector<std::string_view> flat_;
  std::deque<std::string> kept_;
  std::string id_;
  std::vector<WantedOutput> outputs_;
  bool all_binary_ = false;
};

/// Where the columns that are wanted lie among those that cells were read as. Throws RequestError, which names them,
/// where the request has not all of them.
std::vector<size_t> places_of(const RequestColumns& wanted, const ColumnCells& cells, const RequestColumns& read_as);

}  // namespace interplay::server
