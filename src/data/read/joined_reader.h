#pragma once

#include <functional>

#include "data/read/parsing_reader.h"
#include "data/read/side_table.h"

namespace interplay {

/// Files that are read as one table, and how they are opened. `key` leads from the rows to it; rows have none.
struct TableFiles {
  ReadRequest request;
  std::function<std::shared_ptr<Reader>(const ReadRequest&)> open;
  std::string key;
};

/// Rows beside the columns of tables that a key of theirs leads to. Rows and line numbers are those of the rows' files;
/// tables are read whole as far as columns of theirs are wanted.
class JoinedReader : public ParsingReader {
 public:
  /// `rows.request.columns` are those wanted of all of them, in this order; none = all. Throws Error(data) naming the
  /// file where a key is missing, or a column is in two of the files.
  JoinedReader(const TableFiles& rows, const std::vector<TableFiles>& tables);

  std::vector<std::string> columns() const override { return names_; }
  int64_t bytes_total() const override { return rows_->bytes_total(); }
  int64_t bytes_done() const override { return rows_->bytes_done(); }
  bool next_unparsed(Unparsed& batch) override;

 private:
  std::vector<std::string> add_names(const TableFiles& table, const std::vector<std::string>& of_rows,
                                     const std::filesystem::path& rows);

  std::shared_ptr<Reader> rows_;
  std::vector<std::string> names_, wanted_;
  std::vector<SideTable> tables_;
};

}  // namespace interplay
