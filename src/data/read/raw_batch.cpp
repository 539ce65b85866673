#include <interplay/data/raw_batch.h>

#include <limits>

#include <interplay/base/error.h>

namespace interplay {
namespace {

struct Cells {
  std::string bytes;
  std::vector<int32_t> offsets = {0};
  std::vector<int32_t> list_offsets;

  void add(std::string_view cell) {
    bytes += cell;
    INTERPLAY_CHECK_DATA(bytes.size() <= size_t(std::numeric_limits<int32_t>::max()),
                         "a column holds more than 2 GiB in one batch; read fewer rows at a time");
    offsets.push_back(int32_t(bytes.size()));
  }
  void end_list() { list_offsets.push_back(int32_t(offsets.size() - 1)); }
};

RawColumn to_column(std::string name, int64_t rows, Cells&& cells) {
  const auto owner = std::make_shared<const Cells>(std::move(cells));
  RawColumn column;
  column.name = std::move(name);
  column.rows = rows;
  column.bytes = owner->bytes.data();
  column.offsets = owner->offsets.data();
  if (!owner->list_offsets.empty()) column.list_offsets = owner->list_offsets.data();
  column.owner = owner;
  return column;
}

void add_row(Cells& cells, const RawColumn& from, int64_t row) {
  if (!from.is_list()) {
    cells.add(row < 0 || from.missing(row) ? std::string_view() : from.cell(row));
    return;
  }
  for (int32_t c = row < 0 ? 0 : from.list_offsets[row]; row >= 0 && c < from.list_offsets[row + 1]; ++c) {
    cells.add(from.missing(c) ? std::string_view() : from.cell(c));
  }
  cells.end_list();
}

Cells cells_like(const RawColumn& column) {
  Cells cells;
  if (column.is_list()) cells.list_offsets.push_back(0);
  return cells;
}

RawColumn take(const RawColumn& from, std::span<const int64_t> rows) {
  Cells cells = cells_like(from);
  for (const int64_t row : rows) add_row(cells, from, row);
  return to_column(from.name, int64_t(rows.size()), std::move(cells));
}

}  // namespace

RawColumn make_raw_column(std::string name, const std::vector<std::string>& cells) {
  Cells owned;
  for (const auto& cell : cells) owned.add(cell);
  return to_column(std::move(name), int64_t(cells.size()), std::move(owned));
}

RawColumn make_raw_list_column(std::string name, const std::vector<std::vector<std::string>>& rows) {
  Cells owned;
  owned.list_offsets.push_back(0);
  for (const auto& row : rows) {
    for (const auto& cell : row) owned.add(cell);
    owned.end_list();
  }
  return to_column(std::move(name), int64_t(rows.size()), std::move(owned));
}

RawBatch take_rows(const RawBatch& batch, std::span<const int64_t> rows) {
  RawBatch taken;
  taken.rows = int64_t(rows.size());
  taken.file = batch.file;
  for (const auto& column : batch.columns) taken.columns.push_back(take(column, rows));
  if (!batch.lines.empty()) {
    for (const int64_t row : rows) taken.lines.push_back(row < 0 ? 0 : batch.lines[size_t(row)]);
  }
  return taken;
}

RawBatch concatenate(std::span<const RawBatch> batches) {
  RawBatch all;
  if (batches.empty()) return all;
  all.file = batches.front().file;
  for (const auto& batch : batches) {
    all.rows += batch.rows;
    all.lines.insert(all.lines.end(), batch.lines.begin(), batch.lines.end());
  }
  for (size_t c = 0; c < batches.front().columns.size(); ++c) {
    const RawColumn& first = batches.front().columns[c];
    Cells cells = cells_like(first);
    for (const auto& batch : batches) {
      const RawColumn& part = batch.columns.at(c);
      INTERPLAY_ASSERT(part.name == first.name && part.is_list() == first.is_list());
      for (int64_t row = 0; row < batch.rows; ++row) add_row(cells, part, row);
    }
    all.columns.push_back(to_column(first.name, all.rows, std::move(cells)));
  }
  return all;
}

const RawColumn* RawBatch::find(std::string_view name) const {
  for (const auto& column : columns) {
    if (column.name == name) return &column;
  }
  return nullptr;
}

const RawColumn& RawBatch::column(std::string_view name) const {
  if (const RawColumn* const found = find(name)) return *found;
  std::vector<std::string_view> names;
  for (const auto& column : columns) names.push_back(column.name);
  throw Error(fmt::format("{}there is no column '{}' (columns: {})", file.empty() ? "" : file + ": ", name,
                          fmt::join(names, ", ")),
              ErrorKind::data);
}

std::string RawBatch::place(int64_t row) const {
  if (size_t(row) < lines.size()) return fmt::format("{}:{}", file, lines[size_t(row)]);
  return file.empty() ? fmt::format("row {}", row + 1) : fmt::format("{}: row {}", file, row + 1);
}

}  // namespace interplay
