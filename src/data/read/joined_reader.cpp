#include "data/read/joined_reader.h"

#include <algorithm>

#include <interplay/base/error.h>

namespace interplay {
namespace {

bool contains(const std::vector<std::string>& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

std::shared_ptr<Reader> open(const TableFiles& files, std::vector<std::string> columns,
                             const std::shared_ptr<BadRows>& bad_rows) {
  ReadRequest request = files.request;
  request.columns = std::move(columns);
  request.bad_rows = bad_rows;
  return files.open(request);
}

}  // namespace

JoinedReader::JoinedReader(const TableFiles& rows, const std::vector<TableFiles>& tables)
    : ParsingReader(rows.request.bad_rows) {
  const std::vector<std::string> of_rows = open(rows, {}, bad_rows())->columns();
  const auto& file = rows.request.files.front();
  names_ = of_rows;
  std::vector<std::vector<std::string>> of_tables;
  for (const auto& table : tables) of_tables.push_back(add_names(table, of_rows, file));
  wanted_ = rows.request.columns.empty() ? names_ : rows.request.columns;
  find_columns(names_, wanted_, file);
  std::vector<std::string> needed;  // of the rows: what is wanted, and keys
  for (const auto& name : wanted_) {
    if (contains(of_rows, name)) needed.push_back(name);
  }
  for (size_t i = 0; i < tables.size(); ++i) {
    const std::string& key = tables[i].key;
    std::vector<std::string> columns;
    for (const auto& name : of_tables[i]) {
      if (contains(wanted_, name)) columns.push_back(name);
    }
    if (columns.empty()) continue;
    if (!contains(needed, key)) needed.push_back(key);
    auto with_key = columns;
    with_key.push_back(key);
    const auto reader = open(tables[i], with_key, bad_rows());
    tables_.emplace_back(key).load(
        columns, [&](RawBatch& batch) { return reader->next(batch); }, *bad_rows());
  }
  rows_ = open(rows, needed, bad_rows());
}

std::vector<std::string> JoinedReader::add_names(const TableFiles& table, const std::vector<std::string>& of_rows,
                                                 const std::filesystem::path& rows) {
  find_columns(of_rows, {table.key}, rows);
  const auto& file = table.request.files.front();
  auto names = open(table, {}, bad_rows())->columns();
  find_columns(names, {table.key}, file);
  std::erase(names, table.key);
  for (const auto& name : names) {
    INTERPLAY_CHECK_DATA(!contains(names_, name),
                         "{}: column '{}' is also a column of the rows or of another table (columns: {}); rename one "
                         "of them",
                         file.string(), name, fmt::join(names_, ", "));
    names_.push_back(name);
  }
  return names;
}

bool JoinedReader::next_unparsed(Unparsed& batch) {
  Unparsed rows;
  if (!rows_->next_unparsed(rows)) return false;
  batch = [this, rows](BadRows& bad_rows) {
    RawBatch joined = rows(bad_rows);
    if (joined.rows == 0) return joined;
    for (const auto& table : tables_) table.join(joined);
    std::vector<RawColumn> columns;
    for (const auto& name : wanted_) columns.push_back(joined.column(name));
    joined.columns = std::move(columns);
    return joined;
  };
  return true;
}

}  // namespace interplay
