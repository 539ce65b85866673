#include "data/schema/vocabulary.h"

#include <arrow/api.h>
#include <arrow/io/file.h>
#include <parquet/arrow/reader.h>
#include <parquet/arrow/writer.h>

#include <interplay/base/error.h>
#include <interplay/base/file_calls.h>
#include <interplay/base/files.h>
#include <interplay/data/schema.h>

#include "data/read/arrow_output.h"

namespace fs = std::filesystem;

namespace interplay {
namespace {

constexpr int64_t kSlab = int64_t{1} << 18;  // tokens written at a time

void check(const arrow::Status& status, const fs::path& file) {
  INTERPLAY_CHECK_DATA(status.ok(), "{}: not a readable vocabulary ({}); make the directory again", file.string(),
                       status.message());
}

template <class T>
T checked(arrow::Result<T> result, const fs::path& file) {
  check(result.status(), file);
  return std::move(result).ValueUnsafe();
}

void check_written(const arrow::Status& status, const fs::path& file) {
  INTERPLAY_CHECK_DATA(status.ok(), "{}: {}", detail::final_name(file), status.message());
}

template <class T>
T written(arrow::Result<T> result, const fs::path& file) {
  check_written(result.status(), file);
  return std::move(result).ValueUnsafe();
}

std::shared_ptr<arrow::Schema> file_schema() {
  return arrow::schema({arrow::field("token", arrow::utf8(), false), arrow::field("count", arrow::int64(), false),
                        arrow::field("id", arrow::int32(), false)});
}

/// Appends one batch of a file, trusting nothing in it.
void append(Vocabulary& vocabulary, const arrow::RecordBatch& batch, const fs::path& file) {
  check(batch.ValidateFull(), file);
  const auto& tokens = static_cast<const arrow::StringArray&>(*batch.column(0));
  const auto& counts = static_cast<const arrow::Int64Array&>(*batch.column(1));
  const auto& ids = static_cast<const arrow::Int32Array&>(*batch.column(2));
  for (int64_t i = 0; i < batch.num_rows(); ++i) {
    const bool whole = !tokens.IsNull(i) && !counts.IsNull(i) && !ids.IsNull(i);
    INTERPLAY_CHECK_DATA(whole && ids.Value(i) == vocabulary.size() + 1 && counts.Value(i) >= 0,
                         "{}: row {} is not the token with id {}; the file was changed after it was written",
                         file.string(), vocabulary.size() + 1, vocabulary.size() + 1);
    INTERPLAY_CHECK_DATA(!vocabulary.has(tokens.GetView(i)), "{}: the token '{}' is there twice", file.string(),
                         tokens.GetView(i));
    vocabulary.add(tokens.GetView(i), counts.Value(i));
  }
}

}  // namespace

void Vocabulary::reserve(size_t tokens, size_t bytes) {
  tokens_.reserve(tokens, bytes);
  counts_.reserve(tokens);
}

void Vocabulary::add(std::string_view token, int64_t count) {
  const uint32_t index = tokens_.insert(token);
  INTERPLAY_ASSERT(index == counts_.size());
  counts_.push_back(count);
}

std::string_view Vocabulary::token(int64_t id) const {
  return id < 1 || id > size() ? std::string_view() : tokens_.token(uint32_t(id - 1));
}

std::string Vocabulary::checksum() const {
  uint64_t hash = hash64("");
  for (int64_t id = 1; id <= size(); ++id) hash = hash64(token(id), hash);
  return fmt::format("{:016x}", hash);
}

void Vocabulary::save(const fs::path& file) const {
  OutputFile out(file);
  const auto sink = arrow_output(out);
  const auto properties =
      parquet::WriterProperties::Builder().disable_dictionary()->compression(arrow::Compression::ZSTD)->build();
  const auto writer =
      written(parquet::arrow::FileWriter::Open(*file_schema(), arrow::default_memory_pool(), sink, properties), file);
  for (int64_t first = 1; first <= size(); first += kSlab) {
    const int64_t end = std::min(first + kSlab, size() + 1);
    arrow::StringBuilder tokens;
    arrow::Int64Builder counts;
    arrow::Int32Builder ids;
    for (int64_t id = first; id < end; ++id) {
      check_written(tokens.Append(token(id)), file);
      check_written(counts.Append(count(id)), file);
      check_written(ids.Append(int32_t(id)), file);
    }
    const auto table = arrow::Table::Make(
        file_schema(), {written(tokens.Finish(), file), written(counts.Finish(), file), written(ids.Finish(), file)});
    check_written(writer->WriteTable(*table, kSlab), file);
  }
  check_written(writer->Close(), file);
  out.close();
}

Vocabulary Vocabulary::load(const fs::path& file) {
  INTERPLAY_CHECK_DATA(fs::is_regular_file(file),
                       "{}: the vocabulary is missing; restore it or make the directory again", file.string());
  try {
    const auto source = checked(arrow::io::ReadableFile::Open(file.string()), file);
    const auto reader = checked(parquet::arrow::OpenFile(source, arrow::default_memory_pool()), file);
    std::shared_ptr<arrow::Schema> schema;
    check(reader->GetSchema(&schema), file);
    INTERPLAY_CHECK_DATA(schema->Equals(*file_schema(), false),
                         "{}: expected the columns token (text), count (int64) and id (int32), found {}", file.string(),
                         schema->ToString());
    const auto batches = checked(reader->GetRecordBatchReader(), file);
    Vocabulary vocabulary;
    // Not more than a row count that the file's size makes possible: a damaged count must not ask for memory.
    const int64_t rows = reader->parquet_reader()->metadata()->num_rows();
    if (rows > 0 && rows < int64_t(fs::file_size(file))) vocabulary.reserve(size_t(rows), 0);
    for (std::shared_ptr<arrow::RecordBatch> batch;;) {
      check(batches->ReadNext(&batch), file);
      if (!batch) return vocabulary;
      append(vocabulary, *batch, file);
    }
  } catch (const Error&) {
    throw;
  } catch (const std::exception& problem) {  // Parquet throws its own
    throw Error(
        fmt::format("{}: not a readable vocabulary ({}); make the directory again", file.string(), problem.what()),
        ErrorKind::data);
  }
}

fs::path vocabulary_file(const fs::path& directory, const std::string& table) {
  std::string name;
  for (const char c : table) {
    const bool plain =
        std::isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '-' || (c == '.' && !name.empty());
    name += plain ? std::string(1, c) : fmt::format("%{:02X}", static_cast<unsigned char>(c));
  }
  return directory / "vocabulary" / (name + ".parquet");
}

}  // namespace interplay
