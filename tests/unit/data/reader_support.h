#pragma once

#include <string>
#include <vector>

#include <interplay/base/error.h>
#include <interplay/data/reader.h>

#include "support/temp_dir.h"

namespace interplay::testing {

using Table = std::vector<std::vector<std::string>>;

/// Everything that a reader gives: a row as its cells (a list as `[a,b]`, a missing cell as `-`), and the lines.
struct Read {
  Table rows;
  std::vector<int64_t> lines;
  std::vector<std::string> columns;
  int64_t batches = 0;
};

inline std::string show(const RawColumn& column, int64_t row) {
  const auto cell = [&](int64_t c) { return column.missing(c) ? std::string("-") : std::string(column.cell(c)); };
  if (!column.is_list()) return cell(row);
  std::string text = "[";
  for (int32_t c = column.list_offsets[row]; c < column.list_offsets[row + 1]; ++c) {
    text += (text.size() > 1 ? "," : "") + cell(c);
  }
  return text + "]";
}

inline Read read_all(Reader& reader) {
  Read all;
  all.columns = reader.columns();
  for (RawBatch batch; reader.next(batch); ++all.batches) {
    for (int64_t row = 0; row < batch.rows; ++row) {
      auto& cells = all.rows.emplace_back();
      for (const auto& column : batch.columns) cells.push_back(show(column, row));
    }
    all.lines.insert(all.lines.end(), batch.lines.begin(), batch.lines.end());
  }
  return all;
}

/// `format` is YAML, as "tsv" or "{name: csv, header: [a, b]}".
inline Read read(const std::string& format, const ReadRequest& request) {
  return read_all(*readers().make(request, Config::parse(format)));
}
inline Read read(const std::string& format, const std::filesystem::path& file) {
  ReadRequest request;
  request.files = {file};
  return read(format, request);
}

/// What the Error thrown by `work` says; its exit status must be `status`.
template <class Work>
std::string error_of(Work&& work, int status = 3) {
  try {
    work();
  } catch (const Error& error) {
    EXPECT_EQ(error.exit_status(), status) << error.what();
    return error.what();
  }
  ADD_FAILURE() << "no Error was thrown";
  return "";
}

}  // namespace interplay::testing
