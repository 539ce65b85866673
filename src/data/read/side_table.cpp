#include "data/read/side_table.h"

namespace interplay {

void SideTable::load(const std::vector<std::string>& columns, const std::function<bool(RawBatch&)>& next,
                     BadRows& bad_rows) {
  std::vector<RawBatch> parts;
  for (RawBatch batch; next(batch);) parts.push_back(std::move(batch));
  table_ = concatenate(parts);
  if (parts.empty()) {  // no row was good
    for (const auto& name : columns) table_.columns.push_back(make_raw_column(name, {}));
    return;
  }
  keys_ = std::move(table_.columns.back());
  table_.columns.pop_back();
  rows_.reserve(size_t(table_.rows));
  int64_t row = 0;
  for (const RawBatch& part : parts) {
    for (int64_t r = 0; r < part.rows; ++r, ++row) {
      if (rows_.emplace(keys_.cell(row), row).second) continue;
      bad_rows.report(part.file, part.lines[size_t(r)], key_, keys_.cell(row), "has a row already");
    }
  }
}

void SideTable::join(RawBatch& batch) const {
  const RawColumn& key = batch.column(key_);
  std::vector<int64_t> rows(size_t(batch.rows), -1);
  for (int64_t row = 0; row < batch.rows; ++row) {
    const auto it = rows_.find(key.cell(row));
    if (it != rows_.end()) rows[size_t(row)] = it->second;
  }
  for (auto& column : take_rows(table_, rows).columns) batch.columns.push_back(std::move(column));
}

}  // namespace interplay
