#include "data/open_rows.h"

#include <algorithm>

#include <interplay/base/error.h>

#include "data/reader_parts.h"
#include "data/side_table.h"

namespace interplay {
namespace {

bool contains(const std::vector<std::string>& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

/// Rows beside the columns of tables that a key of theirs leads to. Rows and line numbers are those of the rows' files.
class JoinedReader final : public Reader {
 public:
  JoinedReader(const DataSpec& spec, const ReadRequest& request)
      : bad_rows_(request.bad_rows ? request.bad_rows : std::make_shared<BadRows>()) {
    ReadRequest all = request;
    all.bad_rows = bad_rows_;
    all.columns.clear();
    const std::vector<std::string> of_rows = readers().make(all, spec.reader)->columns();
    names_ = of_rows;
    std::vector<ReadRequest> files;
    std::vector<std::vector<std::string>> of_tables;
    for (size_t i = 0; i < spec.options.join.size(); ++i) {
      files.push_back(all);
      files.back().files = expand_glob(request.files.front().parent_path() / spec.options.join[i].file);
      of_tables.push_back(readers().make(files.back(), spec.join_readers[i])->columns());
      add_names(of_tables.back(), spec.options.join[i].key, of_rows, request, files.back());
    }
    wanted_ = request.columns.empty() ? names_ : request.columns;
    find_columns(names_, wanted_, request.files.front());
    for (const auto& name : wanted_) {
      if (contains(of_rows, name)) all.columns.push_back(name);
    }
    for (size_t i = 0; i < files.size(); ++i) {
      const std::string& key = spec.options.join[i].key;
      for (const auto& name : of_tables[i]) {
        if (name != key && contains(wanted_, name)) files[i].columns.push_back(name);
      }
      if (files[i].columns.empty()) continue;
      const auto columns = files[i].columns;
      files[i].columns.push_back(key);
      if (!contains(all.columns, key)) all.columns.push_back(key);
      const auto reader = readers().make(files[i], spec.join_readers[i]);
      tables_.emplace_back(key).load(
          columns, [&](RawBatch& batch) { return reader->next(batch); }, *bad_rows_);
    }
    rows_ = readers().make(all, spec.reader);
  }

  std::vector<std::string> columns() const override { return names_; }
  int64_t bytes_total() const override { return rows_->bytes_total(); }
  int64_t bytes_done() const override { return rows_->bytes_done(); }

  bool next(RawBatch& batch) override {
    Unparsed unparsed;
    do {
      if (!next_unparsed(unparsed)) return false;
      batch = unparsed(*bad_rows_);
    } while (batch.rows == 0);
    return true;
  }

  bool next_unparsed(Unparsed& batch) override {
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

 private:
  void add_names(const std::vector<std::string>& of_table, const std::string& key,
                 const std::vector<std::string>& of_rows, const ReadRequest& rows, const ReadRequest& table) {
    find_columns(of_rows, {key}, rows.files.front());
    find_columns(of_table, {key}, table.files.front());
    for (const auto& name : of_table) {
      if (name == key) continue;
      INTERPLAY_CHECK_DATA(!contains(names_, name),
                           "{}: column '{}' is also a column of the rows or of another table (columns: {}); rename one "
                           "of them",
                           table.files.front().string(), name, fmt::join(names_, ", "));
      names_.push_back(name);
    }
  }

  std::shared_ptr<BadRows> bad_rows_;
  std::shared_ptr<Reader> rows_;
  std::vector<std::string> names_, wanted_;
  std::vector<SideTable> tables_;
};

}  // namespace

std::shared_ptr<Reader> open_rows(const DataSpec& spec, const ReadRequest& request) {
  INTERPLAY_CHECK(!request.files.empty(), "no file to read is named");
  if (spec.options.join.empty()) return readers().make(request, spec.reader);
  return std::make_shared<JoinedReader>(spec, request);
}

}  // namespace interplay
