#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include <interplay/data/reader.h>

namespace interplay {

/// Rows that cannot be used: how many there are by column, and the first of each.
class BadRowCounts final : public BadRows {
 public:
  static constexpr size_t kShown = 5;
  struct Row {
    std::string file;
    int64_t line = 0;
    std::string value, reason;
  };
  struct Column {
    int64_t rows = 0;
    std::vector<Row> first;
  };

  void report(const std::string& file, int64_t line, const std::string& column, std::string_view value,
              const std::string& reason) override {
    Column& of = columns_[column];
    if (of.rows++ < int64_t(kShown)) of.first.push_back({file, line, std::string(value), reason});
    ++rows_;
  }
  const std::map<std::string, Column>& columns() const { return columns_; }  ///< "": of the line as such
  int64_t rows() const { return rows_; }

 private:
  std::map<std::string, Column> columns_;
  int64_t rows_ = 0;
};

}  // namespace interplay
