#include <interplay/data/dataset_writer.h>

#include <algorithm>
#include <future>
#include <limits>

#include <arrow/array.h>
#include <arrow/buffer.h>
#include <arrow/ipc/writer.h>
#include <arrow/record_batch.h>
#include <arrow/type.h>

#include <interplay/base/file_calls.h>

#include "data/read/arrow_output.h"
#include "data/store/arrow_file.h"

namespace fs = std::filesystem;

namespace interplay {
namespace {

template <class ArrayType, class T>
std::shared_ptr<arrow::Array> flat(const std::vector<T>& values) {
  return std::make_shared<ArrayType>(int64_t(values.size()), arrow::Buffer::Wrap(values));
}

template <class ArrayType, class T>
std::shared_ptr<arrow::Array> rows_of(const std::vector<T>& values, const arrow::Field& column, int64_t rows) {
  return std::make_shared<arrow::FixedSizeListArray>(column.type(), rows, flat<ArrayType>(values));
}

/// Appends rows [from, from + count) of `block` to `to`, which has the same columns.
void append(EncodedBatch& to, const RowBlock& block, const Schema& schema, int64_t from, int64_t count) {
  const auto copy = [&](auto& into, const auto* values, int64_t width) {
    if (values) into.insert(into.end(), values + from * width, values + (from + count) * width);
  };
  copy(to.ids, block.ids, schema.count(FieldKind::categorical));
  copy(to.dense, block.dense, schema.count(FieldKind::numeric));
  for (const Field* field : schema.of(FieldKind::vector)) {
    copy(to.vectors[size_t(field->column)], block.vectors[size_t(field->column)], field->dimension);
  }
  copy(to.labels, block.labels, int64_t(schema.labels().size()));
  copy(to.weight, block.weight, 1);
  copy(to.group, block.group, 1);
  copy(to.time, block.time, 1);
  for (size_t i = 0; i < block.sequences.size(); ++i) {
    const auto& sequence = block.sequences[i];
    auto& into = to.sequences[i];
    const int64_t first = sequence.offsets[from], last = sequence.offsets[from + count];
    const int64_t shift = into.offsets.back() - first;
    for (int64_t row = from; row < from + count; ++row) into.offsets.push_back(sequence.offsets[row + 1] + shift);
    into.ids.insert(into.ids.end(), sequence.ids + first, sequence.ids + last);
    if (sequence.weights) into.weights.insert(into.weights.end(), sequence.weights + first, sequence.weights + last);
  }
  for (size_t i = 0; i < block.texts.size(); ++i) {
    const auto& [tokens, columns] = block.texts[i];
    auto& into = to.texts[i];
    const int64_t first = tokens.offsets[from], last = tokens.offsets[from + count];
    const int64_t shift = into.offsets.back() - first;
    for (int64_t row = from; row < from + count; ++row) into.offsets.push_back(tokens.offsets[row + 1] + shift);
    into.ids.insert(into.ids.end(), tokens.ids + first, tokens.ids + last);
    into.columns.insert(into.columns.end(), columns + first, columns + last);
  }
  to.rows += count;
}

EncodedBatch empty_batch(const Schema& schema) {
  EncodedBatch batch;
  batch.vectors.resize(size_t(schema.count(FieldKind::vector)));
  batch.sequences.resize(size_t(schema.count(FieldKind::sequence)));
  for (auto& sequence : batch.sequences) sequence.offsets.push_back(0);
  batch.texts.resize(size_t(schema.count(FieldKind::text)));
  for (auto& text : batch.texts) text.offsets.push_back(0);
  return batch;
}

}  // namespace

struct DatasetWriter::State {
  fs::path directory;
  std::string split;
  Schema schema;
  RowColumns columns;
  std::shared_ptr<arrow::Schema> layout;
  EncodedBatch pending;
  int64_t rows = 0, file_rows = 0;
  std::unique_ptr<OutputFile> file;
  std::shared_ptr<arrow::ipc::RecordBatchWriter> writer;
  size_t closed = 0;                                  // files
  std::vector<std::future<Manifest::Entry>> closing;  // those that may still be read once more
  std::vector<Manifest::Entry> entries;

  std::string file_name() const { return split_file_name(split, closed); }
  std::string place() const { return detail::final_name(directory / file_name()); }
  void open_file();
  void close_file();
  void flush();
  std::vector<std::shared_ptr<arrow::Array>> arrays(const arrow::BufferVector& offsets) const;
};

void DatasetWriter::State::open_file() {
  file = std::make_unique<OutputFile>(directory / file_name());
  auto made = arrow::ipc::MakeFileWriter(arrow_output(*file), layout);
  check_arrow(made.status(), place());
  writer = *made;
}

void DatasetWriter::State::close_file() {
  check_arrow(writer->Close(), place());
  writer.reset();
  file->close();
  file.reset();
  // Checksums and the disk need not hold up the next file.
  closing.push_back(std::async(std::launch::async, [file = directory / file_name(), name = file_name()] {
    Manifest::Entry entry{name, int64_t(fs::file_size(file)), hash64_file(file), block_checksums(file)};
    sync_path(file);
    return entry;
  }));
  ++closed;
  file_rows = 0;
}

/// `offsets`: one 32-bit offset buffer a sequence, then one a text.
std::vector<std::shared_ptr<arrow::Array>> DatasetWriter::State::arrays(const arrow::BufferVector& offsets) const {
  std::vector<std::shared_ptr<arrow::Array>> out;
  const auto column = [&]() -> const arrow::Field& { return *layout->field(int(out.size())); };
  const EncodedBatch& batch = pending;
  const int64_t rows = batch.rows;
  if (!batch.ids.empty()) out.push_back(rows_of<arrow::Int32Array>(batch.ids, column(), rows));
  if (!batch.dense.empty()) out.push_back(rows_of<arrow::FloatArray>(batch.dense, column(), rows));
  for (const Field* field : schema.of(FieldKind::sequence)) {
    const auto& sequence = batch.sequences[size_t(field->column)];
    const auto& bounds = offsets[size_t(field->column)];
    out.push_back(
        std::make_shared<arrow::ListArray>(column().type(), rows, bounds, flat<arrow::Int32Array>(sequence.ids)));
    if (!field->weighted) continue;
    out.push_back(
        std::make_shared<arrow::ListArray>(column().type(), rows, bounds, flat<arrow::FloatArray>(sequence.weights)));
  }
  for (const auto& values : batch.vectors) out.push_back(rows_of<arrow::FloatArray>(values, column(), rows));
  for (size_t i = 0; i < batch.texts.size(); ++i) {
    const auto& bounds = offsets[batch.sequences.size() + i];
    out.push_back(
        std::make_shared<arrow::ListArray>(column().type(), rows, bounds, flat<arrow::Int32Array>(batch.texts[i].ids)));
    out.push_back(std::make_shared<arrow::ListArray>(column().type(), rows, bounds,
                                                     flat<arrow::Int8Array>(batch.texts[i].columns)));
  }
  if (columns.labels) out.push_back(rows_of<arrow::FloatArray>(batch.labels, column(), rows));
  if (columns.weight) out.push_back(flat<arrow::FloatArray>(batch.weight));
  if (columns.group) out.push_back(flat<arrow::Int64Array>(batch.group));
  if (columns.time) out.push_back(flat<arrow::DoubleArray>(batch.time));
  return out;
}

/// Writes the pending rows as one record batch.
void DatasetWriter::State::flush() {
  if (!writer) open_file();
  arrow::BufferVector offsets;
  const auto add_offsets = [&](const std::vector<int64_t>& wide, const char* what, const char* lower) {
    INTERPLAY_CHECK_DATA(wide.back() <= std::numeric_limits<int32_t>::max(),
                         "{}: {} {} in {} rows are more than a record batch holds; lower {}", place(), wide.back(),
                         what, pending.rows, lower);
    offsets.push_back(arrow::Buffer::FromVector(std::vector<int32_t>(wide.begin(), wide.end())));
  };
  for (const auto& sequence : pending.sequences) add_offsets(sequence.offsets, "sequence entries", "max_length");
  for (const auto& text : pending.texts) add_offsets(text.offsets, "tokens", "max_tokens");
  check_arrow(writer->WriteRecordBatch(*arrow::RecordBatch::Make(layout, pending.rows, arrays(offsets))), place());
  rows += pending.rows;
  file_rows += pending.rows;
  pending = empty_batch(schema);
  if (file_rows >= kFileRows) close_file();
}

DatasetWriter::DatasetWriter(fs::path directory, std::string split, const Schema& schema, bool weight, bool group,
                             bool time)
    : state_(std::make_unique<State>()) {
  state_->directory = std::move(directory);
  state_->split = std::move(split);
  state_->schema = schema;
  state_->columns = {.labels = !schema.labels().empty(), .weight = weight, .group = group, .time = time};
  state_->layout = arrow_schema(schema, state_->columns);
  state_->pending = empty_batch(schema);
}

DatasetWriter::~DatasetWriter() = default;

void DatasetWriter::write(EncodedBatch batch) {
  State& s = *state_;
  const std::string place = fmt::format("{}: rows from {}", s.place(), s.rows + s.pending.rows);
  check_sizes(batch, s.schema, s.columns, place);
  const RowBlock block = block_of(std::move(batch), s.schema, place);
  for (int64_t from = 0; from < block.rows;) {
    const int64_t count = std::min(block.rows - from, kBlockRows - s.pending.rows);
    append(s.pending, block, s.schema, from, count);
    from += count;
    if (s.pending.rows == kBlockRows) s.flush();
  }
}

int64_t DatasetWriter::finish() {
  State& s = *state_;
  if (s.pending.rows > 0) s.flush();
  if (!s.writer && s.closed == 0) s.open_file();
  if (s.writer) s.close_file();
  for (auto& entry : s.closing) s.entries.push_back(entry.get());
  s.closing.clear();
  return s.rows;
}

std::vector<Manifest::Entry> DatasetWriter::entries() const { return state_->entries; }

}  // namespace interplay
