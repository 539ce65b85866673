#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace interplay::server {

/// A request that cannot be answered, and what the client is told.
struct RequestError : std::runtime_error {
  RequestError(int http_status, const std::string& message) : std::runtime_error(message), status(http_status) {}
  int status;
};

struct CellLimits {
  int64_t rows = 100000;     ///< of a request: 413
  int64_t cells = 10000000;  ///< of a request: 413
};

/// The raw columns of a model, as a request has to name them.
struct RequestColumns {
  explicit RequestColumns(std::vector<std::string> names, std::vector<std::string> separators);

  std::vector<std::string> names;
  std::vector<std::string> separators;  ///< beside names: between the entries of a cell; "": a cell is one value
  std::map<std::string, size_t, std::less<>> places;
};

/// What is wanted back of a request of protocol v2.
struct WantedOutput {
  std::string name;
  bool binary = false;
};

/// The cells of a request, column by column, as views into its body and into what this object keeps; reused from
/// request to request, so that memory grows once. Not for two threads at once.
class RequestCells {
 public:
  RequestCells();
  ~RequestCells();

  /// {"rows": [{column: cell}]} or {"user": {column: cell}, "candidates": [{column: cell}]}. A cell is a string, a
  /// number, null, or a list of them where the column holds lists; columns that the model does not read are passed
  /// over. Throws RequestError. The body needs not be kept as it was.
  void read_rows(std::string& body, const RequestColumns& columns, const CellLimits& limits);

  /// Open Inference Protocol v2: `inputs`, each with name, shape, datatype and data, or with binary_data_size bytes
  /// behind the first `head_bytes` (Triton's binary tensors; the whole body where it is negative). A column of shape
  /// [1] beside others of [N] is the user's.
  void read_v2(std::string& body, int64_t head_bytes, const RequestColumns& columns, const CellLimits& limits);

  int64_t rows() const { return rows_; }
  bool of_user(size_t column) const { return user_[column]; }
  std::span<const std::string_view> column(size_t column) const {
    return cells_[column];
  }  ///< [1] of the user, or [rows]

  const std::string& id() const { return id_; }
  const std::vector<WantedOutput>& outputs() const { return outputs_; }  ///< empty: all
  bool all_binary() const { return all_binary_; }

 private:
  struct Parser;

  void begin(const RequestColumns& columns);
  void finish(const RequestColumns& columns, const CellLimits& limits);
  std::string_view keep(std::string text);

  std::unique_ptr<Parser> parser_;
  std::vector<std::vector<std::string_view>> cells_;
  std::vector<uint8_t> given_, user_;
  std::vector<std::string_view> flat_;
  std::deque<std::string> kept_;
  int64_t rows_ = 0;
  std::string id_;
  std::vector<WantedOutput> outputs_;
  bool all_binary_ = false;
};

}  // namespace interplay::server
