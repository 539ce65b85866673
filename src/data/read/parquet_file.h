#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include <parquet/arrow/reader.h>
#include <parquet/arrow/schema.h>

#include <interplay/base/error.h>

namespace interplay {

/// Runs `work`, turning what Arrow and Parquet throw on damaged files into an Error(data) that names the file.
template <class Work>
auto guarded_parquet(const std::filesystem::path& file, Work&& work) {
  try {
    return work();
  } catch (const Error&) {
    throw;
  } catch (const std::exception& problem) {
    throw Error(fmt::format("{}: cannot be read: {}; the file is damaged or cut", file.string(), problem.what()),
                ErrorKind::data);
  }
}

/// Batches of `batch_rows`, no more than one of them in memory. Throws Error(data) naming an absent, empty, damaged or
/// foreign file.
std::unique_ptr<parquet::arrow::FileReader> open_parquet(const std::filesystem::path& file, int64_t batch_rows);

std::vector<std::string> column_names(const parquet::arrow::FileReader& reader);

/// Parquet numbers the leaves of nested columns; schema_fields() counts top-level columns.
void add_leaves(const parquet::arrow::SchemaField& field, std::vector<int>& leaves);

}  // namespace interplay
