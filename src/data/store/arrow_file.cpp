#include "data/store/arrow_file.h"

#include <algorithm>

#include <arrow/array.h>
#include <arrow/buffer.h>
#include <arrow/io/memory.h>
#include <arrow/ipc/dictionary.h>
#include <arrow/ipc/message.h>
#include <arrow/ipc/reader.h>
#include <arrow/record_batch.h>
#include <arrow/type.h>
#include <arrow/util/key_value_metadata.h>
#include <sys/mman.h>
#include <unistd.h>

namespace interplay {
namespace {

constexpr std::string_view kMagic = "ARROW1";
constexpr int64_t kFirstMessage = 8;  // the magic, padded

template <class T>
T value_of(arrow::Result<T> result, const std::string& place) {
  check_arrow(result.status(), place);
  return std::move(result).ValueUnsafe();
}

/// The mapped file as an Arrow buffer: whatever Arrow slices from it keeps the mapping alive.
class MappedBuffer final : public arrow::Buffer {
 public:
  explicit MappedBuffer(std::shared_ptr<const MappedFile> file)
      : Buffer(reinterpret_cast<const uint8_t*>(file->bytes().data()), int64_t(file->bytes().size())),
        file_(std::move(file)) {}

 private:
  std::shared_ptr<const MappedFile> file_;
};

/// The messages of a file as they lie one behind the other. Only their headers are looked at, and Arrow verifies those.
/// The footer repeats what they say; it is for readers that jump.
struct Messages {
  std::string_view bytes;
  std::unique_ptr<arrow::ipc::Message> schema;
  std::vector<std::unique_ptr<arrow::ipc::Message>> batches;

  std::string_view body(size_t batch) const {
    const auto buffer = batches[batch]->body();
    return {reinterpret_cast<const char*>(buffer->data()), size_t(buffer->size())};
  }
};

Messages walk(const std::shared_ptr<const MappedFile>& file, const std::string& place) {
  Messages messages{.bytes = file->bytes(), .schema = nullptr, .batches = {}};
  INTERPLAY_CHECK_DATA(messages.bytes.starts_with(kMagic) && messages.bytes.ends_with(kMagic),
                       "{}: not a whole Arrow file (it must begin and end with {}); prepare the data again", place,
                       kMagic);
  arrow::io::BufferReader stream(std::make_shared<MappedBuffer>(file));
  check_arrow(stream.Seek(kFirstMessage), place);
  while (auto message = value_of(arrow::ipc::ReadMessage(&stream), place)) {
    const bool first = messages.schema == nullptr;
    const auto expected = first ? arrow::ipc::MessageType::SCHEMA : arrow::ipc::MessageType::RECORD_BATCH;
    INTERPLAY_CHECK_DATA(message->type() == expected, "{}: message {} is of type '{}', expected '{}'", place,
                         messages.batches.size() + !first, arrow::ipc::FormatMessageType(message->type()),
                         arrow::ipc::FormatMessageType(expected));
    if (first) {
      messages.schema = std::move(message);
    } else {
      INTERPLAY_CHECK_DATA(message->body() != nullptr, "{}: record batch {} has no body", place,
                           messages.batches.size());
      messages.batches.push_back(std::move(message));
    }
  }
  INTERPLAY_CHECK_DATA(messages.schema != nullptr, "{}: it holds no schema; prepare the data again", place);
  return messages;
}

uint64_t checksum_of_rest(const Messages& messages) {
  uint64_t hash = 0;
  const char* from = messages.bytes.data();
  for (size_t i = 0; i < messages.batches.size(); ++i) {
    const auto body = messages.body(i);
    hash = hash64({from, size_t(body.data() - from)}, hash);
    from = body.data() + body.size();
  }
  return hash64({from, size_t(messages.bytes.data() + messages.bytes.size() - from)}, hash);
}

std::string metadata_value(const arrow::Schema& schema, const std::string& key) {
  const auto value = schema.metadata() ? schema.metadata()->Get(key) : arrow::Status::KeyError(key);
  return value.ok() ? *value : "none";
}

/// Throws unless the file was written for `schema`; gives the columns that are not fields.
RowColumns check_schema(const arrow::Schema& found, const Schema& schema, const std::string& place) {
  const std::string format = metadata_value(found, "interplay.format");
  INTERPLAY_CHECK_DATA(format == "1",
                       "{}: format {}, but this version of Interplay reads format 1; prepare the data again", place,
                       format);
  const std::string fingerprint = metadata_value(found, "interplay.fingerprint");
  const std::string expected_fingerprint = fmt::format("{:016x}", schema.fingerprint());
  INTERPLAY_CHECK_DATA(fingerprint == expected_fingerprint,
                       "{}: written for a schema with fingerprint {}, but schema.yaml beside it has {}; they belong to "
                       "different data, prepare them again",
                       place, fingerprint, expected_fingerprint);
  const auto has = [&](const char* name) { return found.GetFieldIndex(name) >= 0; };
  const RowColumns columns{has("labels"), has("weight"), has("group"), has("time")};
  const auto expected = arrow_schema(schema, columns);
  INTERPLAY_CHECK_DATA(found.Equals(*expected, /*check_metadata=*/false),
                       "{}: its columns are ({}), but schema.yaml means ({}); prepare the data again", place,
                       fmt::join(found.field_names(), ", "), fmt::join(expected->field_names(), ", "));
  return columns;
}

template <class ArrayType>
const typename ArrayType::value_type* values_of(const arrow::Array& array, const std::string& place) {
  INTERPLAY_CHECK_DATA(array.null_count() == 0, "{}: a value is missing; prepare the data again", place);
  const auto* const values = static_cast<const ArrayType&>(array).raw_values();
  INTERPLAY_CHECK_DATA(values != nullptr || array.length() == 0, "{}: values are missing; prepare the data again",
                       place);
  return values;
}

/// Hands out the columns of a record batch in the order that arrow_schema() gives them.
class ColumnReader {
 public:
  ColumnReader(const arrow::RecordBatch& batch, const std::string& place) : batch_(batch), place_(place) {}

  template <class ArrayType>
  const typename ArrayType::value_type* plain() {
    return values_of<ArrayType>(next(), place_);
  }
  template <class ArrayType>
  const typename ArrayType::value_type* fixed() {
    return values_of<ArrayType>(*static_cast<const arrow::FixedSizeListArray&>(next()).values(), place_);
  }
  RowBlock::Ragged ragged(bool weighted) {
    const auto& lists = static_cast<const arrow::ListArray&>(next());
    RowBlock::Ragged ragged{.ids = values_of<arrow::Int32Array>(*lists.values(), place_),
                            .offsets = lists.raw_value_offsets(),
                            .total = lists.values()->length()};
    if (weighted) ragged.weights = beside<arrow::FloatArray>(ragged);
    return ragged;
  }
  RowBlock::Text text() {
    RowBlock::Text text;
    text.tokens = ragged(false);
    text.columns = beside<arrow::Int8Array>(text.tokens);
    return text;
  }

 private:
  /// The next column, which has a value for each entry of the one before.
  template <class ArrayType>
  const typename ArrayType::value_type* beside(const RowBlock::Ragged& ragged) {
    const auto& lists = static_cast<const arrow::ListArray&>(next());
    const int32_t* const offsets = lists.raw_value_offsets();
    INTERPLAY_CHECK_DATA(lists.values()->length() == ragged.total &&
                             std::equal(offsets, offsets + batch_.num_rows() + 1, ragged.offsets),
                         "{}: column '{}' does not give one value an entry; prepare the data again", place_,
                         batch_.column_name(column_ - 1));
    return values_of<ArrayType>(*lists.values(), place_);
  }
  const arrow::Array& next() {
    const arrow::Array& array = *batch_.column(column_);
    INTERPLAY_CHECK_DATA(array.null_count() == 0, "{}: column '{}' has missing rows; prepare the data again", place_,
                         batch_.column_name(column_));
    ++column_;
    return array;
  }
  const arrow::RecordBatch& batch_;
  const std::string& place_;
  int column_ = 0;
};

RowBlock view(const std::shared_ptr<arrow::RecordBatch>& batch, const Schema& schema, RowColumns columns,
              const std::string& place) {
  RowBlock block{.rows = batch->num_rows(), .sequences = {}, .vectors = {}, .texts = {}, .owner = batch};
  ColumnReader reader(*batch, place);
  if (schema.count(FieldKind::categorical) > 0) block.ids = reader.fixed<arrow::Int32Array>();
  if (schema.count(FieldKind::numeric) > 0) block.dense = reader.fixed<arrow::FloatArray>();
  for (const Field* field : schema.of(FieldKind::sequence)) block.sequences.push_back(reader.ragged(field->weighted));
  for (size_t i = 0; i < size_t(schema.count(FieldKind::vector)); ++i) {
    block.vectors.push_back(reader.fixed<arrow::FloatArray>());
  }
  for (size_t i = 0; i < size_t(schema.count(FieldKind::text)); ++i) block.texts.push_back(reader.text());
  if (columns.labels) block.labels = reader.fixed<arrow::FloatArray>();
  if (columns.weight) block.weight = reader.plain<arrow::FloatArray>();
  if (columns.group) block.group = reader.plain<arrow::Int64Array>();
  if (columns.time) block.time = reader.plain<arrow::DoubleArray>();
  return block;
}

}  // namespace

std::vector<uint64_t> block_checksums(const std::filesystem::path& file) {
  const auto mapped = std::make_shared<MappedFile>(file);
  const Messages messages = walk(mapped, file.string());
  std::vector<uint64_t> checksums;
  for (size_t i = 0; i < messages.batches.size(); ++i) checksums.push_back(hash64(messages.body(i)));
  checksums.push_back(checksum_of_rest(messages));
  return checksums;
}

struct ArrowFile::State {
  std::string name;
  Schema schema;
  RowColumns columns;
  Messages messages;
  std::vector<uint64_t> checksums;
  std::vector<std::shared_ptr<arrow::RecordBatch>> batches;  // made from the headers; bodies are untouched until read()
};

ArrowFile::~ArrowFile() = default;
ArrowFile::ArrowFile(ArrowFile&&) noexcept = default;

ArrowFile::ArrowFile(const std::filesystem::path& file, const Schema& schema, const Manifest::Entry& known) {
  const auto mapped = std::make_shared<MappedFile>(file);
  const std::string name = file.string();
  INTERPLAY_CHECK_DATA(int64_t(mapped->bytes().size()) == known.bytes,
                       "{}: {} bytes, but manifest.json says {}; the file was cut or changed, prepare the data again",
                       name, mapped->bytes().size(), known.bytes);
  auto state = std::make_shared<State>();
  state->name = name;
  state->schema = schema;
  state->messages = walk(mapped, name);
  state->checksums = known.blocks;
  const auto& messages = state->messages;
  INTERPLAY_CHECK_DATA(known.blocks.size() == messages.batches.size() + 1,
                       "{}: {} record batches, but manifest.json has {} checksums, expected one a batch and one more; "
                       "prepare the data again",
                       name, messages.batches.size(), known.blocks.size());
  INTERPLAY_CHECK_DATA(checksum_of_rest(messages) == known.blocks.back(),
                       "{}: the checksum of its headers differs from manifest.json; the file was changed after it was "
                       "written, prepare the data again",
                       name);
  arrow::ipc::DictionaryMemo memo;
  const auto found = value_of(arrow::ipc::ReadSchema(*messages.schema, &memo), name);
  state->columns = check_schema(*found, schema, name);
  auto options = arrow::ipc::IpcReadOptions::Defaults();
  options.use_threads = false;
  options.ensure_alignment = arrow::ipc::Alignment::kDataTypeSpecificAlignment;
  for (const auto& message : messages.batches) {
    const std::string place = fmt::format("{}: record batch {}", name, state->batches.size());
    auto batch = value_of(arrow::ipc::ReadRecordBatch(*message, found, &memo, options), place);
    INTERPLAY_CHECK_DATA(batch->num_rows() > 0 && batch->num_rows() <= known.bytes, "{}: {} rows in a file of {} bytes",
                         place, batch->num_rows(), known.bytes);
    state->batches.push_back(std::move(batch));
  }
  state_ = std::move(state);
}

int64_t ArrowFile::batches() const { return int64_t(state_->batches.size()); }
int64_t ArrowFile::rows(int64_t batch) const { return state_->batches[size_t(batch)]->num_rows(); }
RowColumns ArrowFile::columns() const { return state_->columns; }

void ArrowFile::will_need(int64_t batch) const {
  const auto body = state_->messages.body(size_t(batch));
  const auto page = uintptr_t(::sysconf(_SC_PAGESIZE)), first = uintptr_t(body.data()) / page * page;
  ::madvise(reinterpret_cast<void*>(first), uintptr_t(body.data()) + body.size() - first, MADV_WILLNEED);
}

RowBlock ArrowFile::read(int64_t index) const {
  const auto i = size_t(index);
  const std::string place = fmt::format("{}: record batch {}", state_->name, index);
  INTERPLAY_CHECK_DATA(
      hash64(state_->messages.body(i)) == state_->checksums[i],
      "{}: its checksum differs from manifest.json; the file was changed after it was written, prepare "
      "the data again",
      place);
  check_arrow(state_->batches[i]->ValidateFull(), place);
  RowBlock block = view(state_->batches[i], state_->schema, state_->columns, place);
  check_block(block, state_->schema, place);
  return block;
}

}  // namespace interplay
