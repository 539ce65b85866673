#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace interplay::server {

/// Raw cells, a column at a time: of a user's column one cell, of the others one a row. Views of memory that another
/// keeps.
class ColumnCells {
 public:
  int64_t rows() const { return rows_; }
  size_t columns() const { return cells_.size(); }
  bool given(size_t column) const { return given_[column]; }  ///< whether the request has the column
  bool of_user(size_t column) const { return user_[column]; }
  std::span<const std::string_view> column(size_t column) const { return cells_[column]; }  ///< [1], or [rows]
  std::string_view cell(size_t column, int64_t row) const { return cells_[column][user_[column] ? 0 : size_t(row)]; }

 protected:
  std::vector<std::vector<std::string_view>> cells_;
  std::vector<uint8_t> given_, user_;
  int64_t rows_ = 0;
};

/// A copy that keeps what it views.
class KeptCells final : public ColumnCells {
 public:
  explicit KeptCells(const ColumnCells& of) : ColumnCells(of) {
    size_t bytes = 0;
    for (const auto& column : cells_) {
      for (const auto cell : column) bytes += cell.size();
    }
    text_.resize(bytes);
    char* at = text_.data();
    for (auto& column : cells_) {
      for (auto& cell : column) {
        const size_t copied = cell.copy(at, cell.size());
        cell = {at, copied};
        at += copied;
      }
    }
  }
  KeptCells(KeptCells&&) = default;  // a vector's memory moves with it, which a short string's would not

 private:
  std::vector<char> text_;
};

}  // namespace interplay::server
