#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include <interplay/data/reader.h>

namespace interplay {

/// A row that cannot be used, to be told to BadRows when its turn comes.
struct BadRow {
  std::string file;
  int64_t line = 0;
  std::string column, value, reason;
};

inline void report(const std::vector<BadRow>& rows, BadRows& to) {
  for (const BadRow& row : rows) to.report(row.file, row.line, row.column, row.value, row.reason);
}

/// Keeps what is reported. Used by one thread at a time.
class CollectedBadRows final : public BadRows {
 public:
  void report(const std::string& file, int64_t line, const std::string& column, std::string_view value,
              const std::string& reason) override {
    rows_.push_back({file, line, column, std::string(value), reason});
  }
  std::vector<BadRow> take() { return std::exchange(rows_, {}); }

 private:
  std::vector<BadRow> rows_;
};

}  // namespace interplay
