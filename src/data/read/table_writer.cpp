#include <interplay/data/table_writer.h>

#include <set>

#include <arrow/array/builder_binary.h>
#include <arrow/array/builder_primitive.h>
#include <arrow/record_batch.h>
#include <arrow/type.h>
#include <parquet/arrow/writer.h>

#include <interplay/base/error.h>
#include <interplay/base/files.h>

#include "data/read/arrow_output.h"

namespace fs = std::filesystem;

namespace interplay {

using Kind = TableWriter::Kind;
using Values = TableWriter::Values;

/// How one kind of file is written.
class TableWriter::Format {
 public:
  virtual ~Format() = default;
  virtual void write(const std::vector<Values>& batch, int64_t rows) = 0;
  virtual void finish() = 0;
};

namespace {

constexpr char kListSeparator = '|';

int64_t rows_of(const RawColumn& column) { return column.rows; }
template <class Number>
int64_t rows_of(std::span<const Number> numbers) {
  return int64_t(numbers.size());
}
int64_t rows_of(const Values& values) {
  return std::visit([](const auto& column) { return rows_of(column); }, values);
}

/// The text of a row; `joined` is scratch for a list.
std::string_view text_of(const RawColumn& column, int64_t row, std::string& joined) {
  if (!column.is_list()) return column.missing(row) ? std::string_view() : column.cell(row);
  joined.clear();
  for (int32_t c = column.list_offsets[row]; c < column.list_offsets[row + 1]; ++c) {
    if (c > column.list_offsets[row]) joined += kListSeparator;
    if (!column.missing(c)) joined += column.cell(c);
  }
  return joined;
}

class DelimitedFormat final : public TableWriter::Format {
 public:
  DelimitedFormat(OutputFile& out, fs::path target, const std::vector<TableWriter::Column>& columns, bool csv)
      : target_(std::move(target)), csv_(csv), out_(out) {
    for (size_t c = 0; c < columns.size(); ++c) {
      if (c > 0) buffer_.push_back(separator());
      put_text(columns[c].name);
    }
    buffer_.push_back('\n');
  }

  void write(const std::vector<Values>& batch, int64_t rows) override {
    for (int64_t row = 0; row < rows; ++row) {
      for (size_t c = 0; c < batch.size(); ++c) {
        if (c > 0) buffer_.push_back(separator());
        put(batch[c], row);
      }
      buffer_.push_back('\n');
      if (buffer_.size() > kFlushBytes) flush();
    }
  }

  void finish() override { flush(); }

 private:
  static constexpr size_t kFlushBytes = size_t(1) << 20;
  char separator() const { return csv_ ? ',' : '\t'; }

  void put(const Values& values, int64_t row) {
    std::visit([&](const auto& column) { put(column, row); }, values);
  }
  void put(const RawColumn& column, int64_t row) { put_text(text_of(column, row, joined_)); }
  template <class Number>
  void put(std::span<const Number> numbers, int64_t row) {
    fmt::format_to(fmt::appender(buffer_), "{}", numbers[size_t(row)]);
  }

  void put_text(std::string_view text) {
    const bool special = text.find_first_of(csv_ ? std::string_view(",\"\r\n") : "\t\r\n") != std::string_view::npos;
    INTERPLAY_CHECK_DATA(!special || csv_,
                         "{}: a value holds a tab or line break, which .tsv cannot; write .csv or .parquet",
                         target_.string());
    if (!special) {
      buffer_.append(text.data(), text.data() + text.size());
      return;
    }
    buffer_.push_back('"');
    for (const char c : text) {
      if (c == '"') buffer_.push_back('"');
      buffer_.push_back(c);
    }
    buffer_.push_back('"');
  }

  void flush() {
    out_.write({buffer_.data(), buffer_.size()});
    buffer_.clear();
  }

  fs::path target_;
  bool csv_;
  OutputFile& out_;
  fmt::memory_buffer buffer_;
  std::string joined_;
};

class ParquetFormat final : public TableWriter::Format {
 public:
  ParquetFormat(OutputFile& out, fs::path target, const std::vector<TableWriter::Column>& columns)
      : target_(std::move(target)) {
    arrow::FieldVector fields;
    for (const auto& column : columns) fields.push_back(arrow::field(column.name, type_of(column.kind)));
    schema_ = arrow::schema(fields);
    auto properties = parquet::WriterProperties::Builder().compression(parquet::Compression::ZSTD)->build();
    auto writer =
        parquet::arrow::FileWriter::Open(*schema_, arrow::default_memory_pool(), arrow_output(out), properties);
    check(writer.status());
    writer_ = std::move(*writer);
  }

  void write(const std::vector<Values>& batch, int64_t rows) override {
    arrow::ArrayVector arrays;
    for (const auto& values : batch) {
      auto array = std::visit([&](const auto& column) { return to_array(column); }, values);
      check(array.status());
      arrays.push_back(*array);
    }
    check(writer_->WriteRecordBatch(*arrow::RecordBatch::Make(schema_, rows, arrays)));
  }

  void finish() override { check(writer_->Close()); }

 private:
  static std::shared_ptr<arrow::DataType> type_of(Kind kind) {
    switch (kind) {
      case Kind::text: return arrow::utf8();
      case Kind::float32: return arrow::float32();
      case Kind::float64: return arrow::float64();
      case Kind::int64: return arrow::int64();
    }
    return nullptr;
  }

  arrow::Result<std::shared_ptr<arrow::Array>> to_array(const RawColumn& column) {
    arrow::StringBuilder builder;
    std::string joined;
    for (int64_t row = 0; row < column.rows; ++row) {
      const std::string_view text = text_of(column, row, joined);
      ARROW_RETURN_NOT_OK(text.empty() ? builder.AppendNull() : builder.Append(text));
    }
    return builder.Finish();
  }
  template <class Number>
  arrow::Result<std::shared_ptr<arrow::Array>> to_array(std::span<const Number> numbers) {
    typename arrow::CTypeTraits<Number>::BuilderType builder;
    ARROW_RETURN_NOT_OK(builder.AppendValues(numbers.data(), int64_t(numbers.size())));
    return builder.Finish();
  }

  void check(const arrow::Status& status) const {
    INTERPLAY_CHECK_DATA(status.ok(), "{}: {}", target_.string(), status.message());
  }

  fs::path target_;
  std::shared_ptr<arrow::Schema> schema_;
  std::unique_ptr<parquet::arrow::FileWriter> writer_;
};

std::unique_ptr<TableWriter::Format> make_format(OutputFile& out, const fs::path& target,
                                                 const std::vector<TableWriter::Column>& columns) {
  const std::string extension = target.extension().string();
  if (extension == ".parquet") return std::make_unique<ParquetFormat>(out, target, columns);
  return std::make_unique<DelimitedFormat>(out, target, columns, extension == ".csv");
}

}  // namespace

struct TableWriter::State {
  std::vector<Column> columns;
  std::unique_ptr<NewFile> file;
  std::unique_ptr<Format> format;  // writes into `file`; none once it is closed
  int64_t rows = 0;
};

TableWriter::TableWriter(fs::path file, std::vector<Column> columns) : state_(std::make_unique<State>()) {
  std::set<std::string> seen;
  for (const auto& column : columns) {
    INTERPLAY_CHECK(seen.insert(column.name).second, "{}: column '{}' is written twice; name it once", file.string(),
                    column.name);
  }
  const std::string extension = file.extension().string();
  INTERPLAY_CHECK(extension == ".csv" || extension == ".tsv" || extension == ".parquet",
                  "{}: a table is written as .csv, .tsv or .parquet; '{}' is none of these", file.string(), extension);
  const fs::path folder = fs::absolute(file).parent_path();
  INTERPLAY_CHECK_DATA(fs::is_directory(folder), "{}: cannot be written: there is no directory {}", file.string(),
                       folder.string());
  state_->columns = std::move(columns);
  state_->file = std::make_unique<NewFile>(file);
  state_->format = make_format(state_->file->out(), file, state_->columns);
}

TableWriter::~TableWriter() = default;

void TableWriter::write(const std::vector<Values>& batch) {
  INTERPLAY_ASSERT(state_->format && batch.size() == state_->columns.size());
  if (batch.empty()) return;
  const int64_t rows = rows_of(batch.front());
  for (size_t c = 0; c < batch.size(); ++c) {
    INTERPLAY_ASSERT(size_t(state_->columns[c].kind) == batch[c].index() && rows_of(batch[c]) == rows);
  }
  state_->format->write(batch, rows);
  state_->rows += rows;
}

void TableWriter::close() {
  if (!state_->format) return;
  state_->format->finish();
  state_->format.reset();
  state_->file->commit();
}

int64_t TableWriter::rows() const { return state_->rows; }

}  // namespace interplay
