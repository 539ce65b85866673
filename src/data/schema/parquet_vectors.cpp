// Vectors by key from and to Parquet.
#include <algorithm>

#include <arrow/array.h>
#include <arrow/array/builder_binary.h>
#include <arrow/array/builder_nested.h>
#include <arrow/array/builder_primitive.h>
#include <arrow/record_batch.h>
#include <arrow/type.h>
#include <parquet/arrow/writer.h>

#include <interplay/base/files.h>
#include <interplay/base/with_place.h>
#include <interplay/data/keyed_vectors.h>

#include "data/read/arrow_cells.h"
#include "data/read/arrow_output.h"
#include "data/read/parquet_file.h"
#include "data/read/parsing_reader.h"

namespace fs = std::filesystem;

namespace interplay {
namespace {

constexpr int64_t kBatchRows = 4096;
constexpr const char *kKey = "key", *kVector = "vector";

bool is_list(const arrow::DataType& type) {
  return type.id() == arrow::Type::LIST || type.id() == arrow::Type::LARGE_LIST ||
         type.id() == arrow::Type::FIXED_SIZE_LIST;
}

bool is_vector(const arrow::DataType& type) {
  if (!is_list(type)) return false;
  const auto id = static_cast<const arrow::BaseListType&>(type).value_type()->id();
  return id == arrow::Type::FLOAT || id == arrow::Type::DOUBLE;
}

class ParquetVectors final : public VectorFile {
 public:
  using Options = NoOptions;
  ParquetVectors(const VectorSource& source, const Options&) : source_(source) {}

  KeyedVectors read() override {
    const fs::path file = source_.from;
    const auto reader = open_parquet(file, kBatchRows);
    const int key = key_place(*reader), vector = vector_place(*reader);
    std::vector<int> leaves, groups;
    for (const int place : {key, vector}) add_leaves(reader->manifest().schema_fields[size_t(place)], leaves);
    for (int g = 0; g < reader->num_row_groups(); ++g) groups.push_back(g);
    const auto names = column_names(*reader);
    KeyedVectors out(file);
    guarded_parquet(file, [&] {
      const auto rows = check_arrow(reader->GetRecordBatchReader(groups, leaves), file);
      for (std::shared_ptr<arrow::RecordBatch> batch;;) {
        check_arrow(rows->ReadNext(&batch), file);
        if (!batch) return;
        check_arrow(batch->ValidateFull(), file);
        append(*batch, names[size_t(key)], names[size_t(vector)], out);
      }
    });
    return out;
  }

 private:
  using Fits = bool (*)(const arrow::DataType&);

  /// The column that is named, or the one of the default name, or the only one that may be meant.
  int place(const parquet::arrow::FileReader& reader, const std::string& given, const char* usual, const char* what,
            Fits fits) const {
    const auto names = column_names(reader);
    const auto type_of = [&](size_t c) { return reader.manifest().schema_fields[c].field->type(); };
    const std::string wanted =
        !given.empty() || std::find(names.begin(), names.end(), usual) == names.end() ? given : usual;
    std::vector<size_t> found;
    for (size_t c = 0; c < names.size(); ++c) {
      if (wanted.empty() ? fits(*type_of(c)) : names[c] == wanted) found.push_back(c);
    }
    INTERPLAY_CHECK_DATA(found.size() == 1, "{}: {} column{} with {}; name one by `{}` (columns: {})", source_.from,
                         found.empty() ? "there is no" : "there are several",
                         found.empty() ? (wanted.empty() ? "" : fmt::format(" '{}'", wanted)) : "s", what, usual,
                         fmt::join(names, ", "));
    const auto type = type_of(found[0]);
    INTERPLAY_CHECK_DATA(fits(*type), "{}: column '{}' is of type {}; expected {} (columns: {})", source_.from,
                         names[found[0]], type->ToString(), what, fmt::join(names, ", "));
    return int(found[0]);
  }
  int key_place(const parquet::arrow::FileReader& reader) const {
    return place(reader, source_.key, kKey, "keys, text or whole numbers",
                 [](const arrow::DataType& type) { return !is_list(type) && type.id() != arrow::Type::STRUCT; });
  }
  int vector_place(const parquet::arrow::FileReader& reader) const {
    return place(reader, source_.vector, kVector, "vectors, lists of float or double", &is_vector);
  }

  void append(const arrow::RecordBatch& batch, const std::string& key, const std::string& vector,
              KeyedVectors& out) const {
    const auto key_array = batch.GetColumnByName(key), vector_array = batch.GetColumnByName(vector);
    INTERPLAY_CHECK_DATA(key_array && vector_array, "{}: was changed while it was read", source_.from);
    const RawColumn keys = with_place(source_.from, [&] { return to_raw_column(key, key_array); });
    switch (vector_array->type_id()) {
      case arrow::Type::LIST: return append(keys, static_cast<const arrow::ListArray&>(*vector_array), out);
      case arrow::Type::LARGE_LIST: return append(keys, static_cast<const arrow::LargeListArray&>(*vector_array), out);
      default: return append(keys, static_cast<const arrow::FixedSizeListArray&>(*vector_array), out);
    }
  }

  template <class Lists>
  void append(const RawColumn& keys, const Lists& lists, KeyedVectors& out) const {
    std::vector<float> vector;
    for (int64_t r = 0; r < lists.length(); ++r) {
      const auto place = [&] { return fmt::format("{}: row {}", source_.from, out.count() + 1); };
      INTERPLAY_CHECK_DATA(!keys.missing(r), "{} has no key; every vector needs one", place());
      INTERPLAY_CHECK_DATA(!lists.IsNull(r), "{} ('{}') has no vector; leave such rows out", place(), keys.cell(r));
      const int64_t from = lists.value_offset(r), count = lists.value_length(r);
      vector.resize(size_t(count));
      for (int64_t k = 0; k < count; ++k) {
        INTERPLAY_CHECK_DATA(!lists.values()->IsNull(from + k), "{} ('{}'): its number {} is missing", place(),
                             keys.cell(r), k);
        vector[size_t(k)] = number(*lists.values(), from + k);
      }
      out.add(keys.cell(r), vector);
    }
  }

  static float number(const arrow::Array& values, int64_t at) {
    return values.type_id() == arrow::Type::FLOAT ? static_cast<const arrow::FloatArray&>(values).Value(at)
                                                  : float(static_cast<const arrow::DoubleArray&>(values).Value(at));
  }

  VectorSource source_;
};

INTERPLAY_REGISTER(vector_files(), "parquet", ParquetVectors,
                   "Parquet: a column with keys, a column with lists of floats");

}  // namespace

struct VectorWriter::State {
  fs::path file;
  int64_t width;
  NewFile out;
  std::shared_ptr<arrow::Schema> schema;
  std::unique_ptr<parquet::arrow::FileWriter> writer;

  void check(const arrow::Status& status) const {
    INTERPLAY_CHECK_DATA(status.ok(), "{}: {}", file.string(), status.message());
  }
  template <class T>
  T check(arrow::Result<T> result) const {
    check(result.status());
    return std::move(result).ValueUnsafe();
  }
};

VectorWriter::VectorWriter(fs::path file, int64_t width) {
  INTERPLAY_CHECK(file.extension() == ".parquet", "{}: vectors are written as .parquet; give it that extension",
                  file.string());
  INTERPLAY_ASSERT(width > 0);
  const fs::path folder = fs::absolute(file).parent_path();
  INTERPLAY_CHECK_DATA(fs::is_directory(folder), "{}: cannot be written: there is no directory {}", file.string(),
                       folder.string());
  state_.reset(new State{file, width, NewFile(file), {}, {}});
  State& s = *state_;
  s.schema = arrow::schema({arrow::field(kKey, arrow::utf8(), false),
                            arrow::field(kVector, arrow::list(arrow::field("item", arrow::float32(), false)), false)});
  // Numbers that look random: dictionaries and compression would cost time and save nothing.
  const auto properties = parquet::WriterProperties::Builder().disable_dictionary()->build();
  s.writer = s.check(
      parquet::arrow::FileWriter::Open(*s.schema, arrow::default_memory_pool(), arrow_output(s.out.out()), properties));
}

VectorWriter::~VectorWriter() = default;

void VectorWriter::write(std::span<const std::string> keys, std::span<const float> vectors) {
  State& s = *state_;
  INTERPLAY_ASSERT(int64_t(vectors.size()) == int64_t(keys.size()) * s.width);
  const auto numbers = std::make_shared<arrow::FloatBuilder>();
  arrow::StringBuilder key;
  arrow::ListBuilder lists(arrow::default_memory_pool(), numbers, s.schema->field(1)->type());
  for (size_t r = 0; r < keys.size(); ++r) {
    s.check(key.Append(keys[r]));
    s.check(lists.Append());
    s.check(numbers->AppendValues(vectors.data() + int64_t(r) * s.width, s.width));
  }
  const auto batch =
      arrow::RecordBatch::Make(s.schema, int64_t(keys.size()), {s.check(key.Finish()), s.check(lists.Finish())});
  s.check(s.writer->WriteRecordBatch(*batch));
}

void VectorWriter::close() {
  if (!state_->writer) return;
  state_->check(state_->writer->Close());
  state_->writer.reset();
  state_->out.commit();
}

}  // namespace interplay
