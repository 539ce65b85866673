#include "data/read/parquet_file.h"

#include "data/read/arrow_cells.h"
#include "data/read/parsing_reader.h"

namespace fs = std::filesystem;

namespace interplay {
namespace {

/// Parquet's own message takes every other file for a damaged one.
void check_magic(const fs::path& file) {
  char start[kMagicBytes] = {};
  const int64_t got = check_arrow(open_file(file).raw->Read(sizeof start, start), file);
  const std::string_view bytes(start, size_t(got));
  if (bytes.starts_with("PAR1")) return;
  const std::string foreign = foreign_format(bytes);
  throw Error(fmt::format("{}: {}", file.string(), foreign.empty() ? "is not a Parquet file; set its format" : foreign),
              ErrorKind::data);
}

}  // namespace

std::unique_ptr<parquet::arrow::FileReader> open_parquet(const fs::path& file, int64_t batch_rows) {
  open_file(file);  // its messages about absent files and directories are better than Parquet's
  INTERPLAY_CHECK_DATA(fs::file_size(file) > 0, "{}: is empty", file.string());
  check_magic(file);
  return guarded_parquet(file, [&] {
    parquet::ReaderProperties buffered = parquet::default_reader_properties();
    buffered.enable_buffered_stream();
    parquet::ArrowReaderProperties properties;
    properties.set_batch_size(batch_rows);
    properties.set_pre_buffer(false);  // else a whole row group is held in memory
    parquet::arrow::FileReaderBuilder builder;
    check_arrow(builder.OpenFile(file.string(), false, buffered), file);
    std::unique_ptr<parquet::arrow::FileReader> reader;
    check_arrow(builder.properties(properties)->Build(&reader), file);
    return reader;
  });
}

std::vector<std::string> column_names(const parquet::arrow::FileReader& reader) {
  std::vector<std::string> names;
  for (const auto& field : reader.manifest().schema_fields) names.push_back(field.field->name());
  return names;
}

void add_leaves(const parquet::arrow::SchemaField& field, std::vector<int>& leaves) {
  if (field.is_leaf()) leaves.push_back(field.column_index);
  for (const auto& child : field.children) add_leaves(child, leaves);
}

}  // namespace interplay
