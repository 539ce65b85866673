#include <interplay/data/encoder.h>

#include <algorithm>
#include <cmath>

#include <interplay/base/files.h>
#include <interplay/data/number.h>

#include "data/encode/encoder_state.h"

namespace interplay {
namespace {

constexpr size_t kRowsABlock = 1024;  // rows whose ids fit the L2 cache while columns are filled in
constexpr int64_t kFirstBucket = -64, kLastBucket = 1024;  // buckets looked up once; ln(1e13)^2 is 896

std::string bucket_token(int64_t bucket) { return std::to_string(bucket); }

}  // namespace

Encoder::State::State(Schema fitted, DataSpec data, Vocabularies tables)
    : schema(std::move(fitted)), spec(std::move(data)), vocabularies(std::move(tables)), parser(schema, spec) {
  for (size_t f = 0; f < schema.fields().size(); ++f) {
    const Field& field = schema.fields()[f];
    const auto found = vocabularies.find(field.table);
    ids_.emplace_back(found == vocabularies.end() ? nullptr : found->second.get(),
                      parser.encoding(f).values.hash_buckets, field.rows);
    bucket_ids_.emplace_back();
    if (field.kind == FieldKind::categorical) ++ids_width_;
    if (field.kind == FieldKind::numeric) ++dense_width_;
    if (field.kind != FieldKind::categorical || !parser.makes_buckets(f)) continue;
    for (int64_t b = kFirstBucket; b < kLastBucket; ++b) bucket_ids_[f].push_back(ids_[f].id(bucket_token(b)));
  }
}

/// NaN: a missing number.
int32_t Encoder::State::bucket_id(size_t field, double number) const {
  int64_t bucket = 0;
  if (!parser.numbers(field).bucket(number, bucket)) return ids_[field].unseen();
  if (bucket >= kFirstBucket && bucket < kLastBucket) return bucket_ids_[field][size_t(bucket - kFirstBucket)];
  return ids_[field].id(bucket_token(bucket));
}

EncodedBatch Encoder::State::encode(const RowValues& values, std::span<const int32_t> rows, bool labels) const {
  EncodedBatch out;
  out.rows = int64_t(rows.size());
  encode_categorical(values, rows, out);
  encode_dense(values, rows, out);
  for (size_t f = 0; f < schema.fields().size(); ++f) {
    const Field& field = schema.fields()[f];
    if (field.kind == FieldKind::sequence) encode_sequence(f, values, rows, out.sequences.emplace_back());
  }
  copy_rest(parser, values, rows, labels, out);
  return out;
}

void Encoder::State::encode_categorical(const RowValues& values, std::span<const int32_t> rows,
                                        EncodedBatch& out) const {
  out.ids.resize(rows.size() * ids_width_);
  for (size_t first = 0; first < rows.size(); first += kRowsABlock) {
    const auto block = rows.subspan(first, std::min(kRowsABlock, rows.size() - first));
    size_t place = 0;
    for (size_t f = 0; f < schema.fields().size(); ++f) {
      if (schema.fields()[f].kind != FieldKind::categorical) continue;
      int32_t* const to = out.ids.data() + first * ids_width_ + place++;
      if (parser.makes_buckets(f)) {
        for (size_t i = 0; i < block.size(); ++i)
          to[i * ids_width_] = bucket_id(f, values.numbers[f][size_t(block[i])]);
      } else {
        const RawColumn& column = values.raw.column(parser.encoding(f).column);
        const auto token_at = [&](int64_t i) { return parser.token(f, column, block[size_t(i)]); };
        ids_[f].ids(int64_t(block.size()), token_at, to, int64_t(ids_width_));
      }
    }
  }
}

void Encoder::State::encode_dense(const RowValues& values, std::span<const int32_t> rows, EncodedBatch& out) const {
  out.dense.resize(rows.size() * dense_width_);
  size_t column = 0;
  for (size_t f = 0; f < schema.fields().size(); ++f) {
    if (schema.fields()[f].kind != FieldKind::numeric) continue;
    const NumberRule& rule = parser.numbers(f);
    float* to = out.dense.data() + column++;
    for (const int32_t r : rows) {
      *to = rule.dense(values.numbers[f][size_t(r)]);
      to += dense_width_;
    }
  }
}

void Encoder::State::encode_sequence(size_t field, const RowValues& values, std::span<const int32_t> rows,
                                     EncodedBatch::Sequence& out) const {
  const RowValues::Lists& lists = values.lists[field];
  out.offsets.reserve(rows.size() + 1);
  out.offsets.push_back(0);
  for (const int32_t r : rows) {
    for (int64_t i = lists.offsets[size_t(r)]; i < lists.offsets[size_t(r) + 1]; ++i) {
      out.ids.push_back(ids_[field].id(lists.tokens[size_t(i)]));
      if (schema.fields()[field].weighted) out.weights.push_back(lists.weights[size_t(i)]);
    }
    out.offsets.push_back(int64_t(out.ids.size()));
  }
}

bool Encoder::State::encode_ids(size_t field, const std::string_view* cells, int64_t stride, int64_t rows, int32_t* out,
                                int64_t out_stride) const {
  if (!parser.makes_buckets(field)) {
    ids_[field].ids(
        rows, [&](int64_t i) { return parser.token(field, cells[i * stride]); }, out, out_stride);
    return true;
  }
  for (int64_t i = 0; i < rows; ++i) {
    double x = 0;
    if (!parser.number(cells[i * stride], x)) return false;
    out[i * out_stride] = bucket_id(field, x);
  }
  return true;
}

bool Encoder::State::encode_numbers(size_t field, const std::string_view* cells, int64_t stride, int64_t rows,
                                    float* out, int64_t out_stride) const {
  for (int64_t i = 0; i < rows; ++i) {
    double x = 0;
    if (!parser.number(cells[i * stride], x)) return false;
    out[i * out_stride] = parser.numbers(field).dense(x);
  }
  return true;
}

void Encoder::State::check() const {
  checked_([this] { parser.check_tokens(); });
}

const Schema& Encoder::schema() const { return state_->schema; }
void Encoder::check() const { state_->check(); }

bool Encoder::encode_ids(size_t field, const std::string_view* cells, int64_t stride, int64_t rows, int32_t* out,
                         int64_t out_stride) const {
  return state_->encode_ids(field, cells, stride, rows, out, out_stride);
}

bool Encoder::encode_numbers(size_t field, const std::string_view* cells, int64_t stride, int64_t rows, float* out,
                             int64_t out_stride) const {
  return state_->encode_numbers(field, cells, stride, rows, out, out_stride);
}

std::string Encoder::column(size_t field) const {
  return state_->parser.reads_cells(field) ? state_->parser.encoding(field).column : "";
}

std::string Encoder::separator(const std::string& column) const {
  for (size_t f = 0; f < state_->schema.fields().size(); ++f) {
    const FieldEncoding& encoding = state_->parser.encoding(f);
    if ((encoding.column == column || encoding.weights == column) && !encoding.separator.empty())
      return encoding.separator;
  }
  return "";
}

bool Encoder::holds_whole_numbers(const std::string& column) const {
  constexpr int64_t kLooked = 1000;
  bool whole = false;
  for (size_t f = 0; f < state_->schema.fields().size(); ++f) {
    if (state_->parser.encoding(f).column != column) continue;
    const auto vocabulary = state_->vocabularies.find(state_->schema.fields()[f].table);
    if (vocabulary == state_->vocabularies.end()) return false;
    const Vocabulary& tokens = *vocabulary->second;
    for (int64_t id = 1; id <= std::min(tokens.size(), kLooked); ++id) {
      double value;
      if (!parse_number(tokens.token(id), value)) continue;
      if (tokens.token(id).find_first_of(".eE") != std::string_view::npos) return false;
      whole = true;
    }
  }
  return whole;
}

std::vector<std::string> Encoder::columns(Want want) const { return state_->parser.columns(want.labels); }

EncodedBatch Encoder::encode(const RawBatch& raw, Want want, BadRows* bad_rows, std::vector<int64_t>* kept) const {
  state_->check();
  const RowValues values = state_->parser.parse(raw, want.labels, bad_rows);
  if (kept) kept->assign(values.rows.begin(), values.rows.end());
  return state_->encode(values, values.rows, want.labels);
}

Encoder Encoder::keep(const Schema& schema) const {
  for (const Field& field : schema.fields()) {
    const Field& own = state_->schema.field(field.name);
    INTERPLAY_CHECK_DATA(
        own.kind == field.kind && own.rows == field.rows && own.table == field.table,
        "field '{}': the encoder has a {} of {} rows, the other schema a {} of {}; they were made from different data",
        field.name, to_string(own.kind), own.rows, to_string(field.kind), field.rows);
  }
  Encoder out;
  out.state_ = std::make_shared<const State>(schema, state_->spec, state_->vocabularies);
  return out;
}

std::string Encoder::token(const std::string& table, int64_t id) const {
  const auto found = state_->vocabularies.find(table);
  return found == state_->vocabularies.end() ? "" : std::string(found->second->token(id));
}

void Encoder::save(const std::filesystem::path& directory) const {
  make_directories(directory / "vocabulary");
  for (const Table& table : state_->schema.tables()) {
    const auto found = state_->vocabularies.find(table.name);
    if (found != state_->vocabularies.end()) found->second->save(vocabulary_file(directory, table.name));
  }
  state_->schema.save(directory / "schema.yaml");
}

namespace {

/// An altered file is named before anything in it is believed.
void check_against_manifest(const std::filesystem::path& directory) {
  if (!std::filesystem::exists(directory / "manifest.json")) return;
  const Manifest manifest = Manifest::load(directory);
  for (const auto& entry : manifest.entries()) {
    if (entry.file != "schema.yaml" && !entry.file.starts_with("vocabulary/")) continue;
    const auto file = directory / entry.file;
    INTERPLAY_CHECK_DATA(std::filesystem::is_regular_file(file), "{}: missing, though manifest.json lists it",
                         file.string());
    INTERPLAY_CHECK_DATA(int64_t(std::filesystem::file_size(file)) == entry.bytes && hash64_file(file) == entry.xxh3,
                         "{}: differs from manifest.json; the file was cut or changed after it was written",
                         file.string());
  }
}

DataSpec source_of(const Schema& schema, const std::filesystem::path& file) {
  try {
    return DataSpec::parse(schema.source);
  } catch (const Error& problem) {
    throw Error(
        fmt::format("{}: its source is not a data.yaml that can be read again: {}", file.string(), problem.what()),
        ErrorKind::data);
  }
}

Vocabularies load_vocabularies(const Schema& schema, const std::filesystem::path& directory) {
  Vocabularies tables;
  for (const Field& field : schema.fields()) {
    if (field.kind != FieldKind::categorical && field.kind != FieldKind::sequence) continue;
    FieldEncoding encoding;
    read_options(encoding, field.encoding);
    const int64_t buckets = encoding.values.hash_buckets;
    const auto file = vocabulary_file(directory, field.table);
    INTERPLAY_CHECK_DATA(buckets == 0 || field.rows == buckets + 2, "{}: field '{}' has {} rows, but {} buckets",
                         (directory / "schema.yaml").string(), field.name, field.rows, buckets);
    if (buckets > 0 || tables.contains(field.table)) continue;
    auto vocabulary = std::make_shared<Vocabulary>(Vocabulary::load(file));
    INTERPLAY_CHECK_DATA(vocabulary->rows() == field.rows, "{}: {} tokens, but schema.yaml says {}", file.string(),
                         vocabulary->size(), field.rows - 2);
    INTERPLAY_CHECK_DATA(vocabulary->checksum() == encoding.values.tokens,
                         "{}: these are not the tokens that schema.yaml was written with", file.string());
    tables.emplace(field.table, std::move(vocabulary));
  }
  return tables;
}

}  // namespace

Encoder Encoder::load(const std::filesystem::path& directory) {
  check_against_manifest(directory);
  const auto file = directory / "schema.yaml";
  Schema schema = Schema::load(file);
  DataSpec spec = source_of(schema, file);
  try {
    Vocabularies tables = load_vocabularies(schema, directory);
    Encoder out;
    out.state_ = std::make_shared<const State>(std::move(schema), std::move(spec), std::move(tables));
    return out;
  } catch (const Error& problem) {
    throw Error(problem.what(), ErrorKind::data);
  }
}

}  // namespace interplay
