#include <interplay/data/encoder.h>

#include <algorithm>
#include <cfloat>
#include <charconv>
#include <cmath>

#include <interplay/base/files.h>

#include "data/encoder_state.h"

namespace interplay {
namespace {

constexpr size_t kBlock = 1024;  // rows whose ids fit the L2 cache while columns are filled in
constexpr int64_t kCells = 256;  // hashed ahead of their lookup, on the stack
constexpr int64_t kFirstBucket = -64, kLastBucket = 1024;  // buckets looked up once; ln(1e13)^2 is 896

std::string bucket_token(int64_t bucket) { return std::to_string(bucket); }

}  // namespace

Encoder::State::State(Schema fitted, DataSpec data, Vocabularies tables)
    : schema(std::move(fitted)), spec(std::move(data)), vocabularies(std::move(tables)), parser(schema, spec) {
  for (size_t f = 0; f < schema.fields().size(); ++f) {
    const Field& field = schema.fields()[f];
    const auto found = vocabularies.find(field.table);
    vocabulary_.push_back(found == vocabularies.end() ? nullptr : found->second.get());
    buckets_.push_back(uint64_t(parser.encoding(f).values.hash_buckets));
    bucket_ids_.emplace_back();
    if (field.kind == FieldKind::categorical) ++ids_width_;
    if (field.kind == FieldKind::numeric) ++dense_width_;
    if (!parser.encoding(f).is_bucket()) continue;
    for (int64_t b = kFirstBucket; b < kLastBucket; ++b) bucket_ids_[f].push_back(id(f, bucket_token(b)));
  }
}

int32_t Encoder::State::id(size_t field, std::string_view token) const {
  if (token.empty()) return int32_t(schema.fields()[field].rows - 1);
  const uint64_t hash = token_hash(token);
  return vocabulary_[field] ? vocabulary_[field]->id(token, hash) : int32_t(1 + hash % buckets_[field]);
}

int32_t Encoder::State::bucket_id(size_t field, int64_t bucket) const {
  if (bucket >= kFirstBucket && bucket < kLastBucket) return bucket_ids_[field][size_t(bucket - kFirstBucket)];
  return id(field, bucket_token(bucket));
}

EncodedBatch Encoder::State::encode(const RawBatch& raw, const RowValues& values, std::span<const int32_t> rows,
                                    bool labels) const {
  EncodedBatch out;
  out.rows = int64_t(rows.size());
  encode_categorical(raw, values, rows, out);
  encode_dense(values, rows, out);
  for (size_t f = 0; f < schema.fields().size(); ++f) {
    const Field& field = schema.fields()[f];
    if (field.kind == FieldKind::sequence) encode_sequence(f, values, rows, out.sequences.emplace_back());
  }
  copy_rest(values, schema, rows, labels, out);
  return out;
}

void Encoder::State::encode_categorical(const RawBatch& raw, const RowValues& values, std::span<const int32_t> rows,
                                        EncodedBatch& out) const {
  out.ids.resize(rows.size() * ids_width_);
  for (size_t first = 0; first < rows.size(); first += kBlock) {
    const auto block = rows.subspan(first, std::min(kBlock, rows.size() - first));
    size_t column = 0;
    for (size_t f = 0; f < schema.fields().size(); ++f) {
      if (schema.fields()[f].kind != FieldKind::categorical) continue;
      int32_t* const to = out.ids.data() + first * ids_width_ + column++;
      if (parser.encoding(f).is_bucket()) {
        encode_buckets(f, values.numbers[f], block, to);
      } else {
        encode_field(f, raw, values, block, to);
      }
    }
  }
}

/// One column of a block: hashes first, so that the slots are on their way from memory when they are needed.
void Encoder::State::encode_field(size_t field, const RawBatch& raw, const RowValues&, std::span<const int32_t> rows,
                                  int32_t* out) const {
  const RawColumn& column = raw.column(parser.encoding(field).column);
  INTERPLAY_CHECK_DATA(!column.is_list(),
                       "{}: column '{}' holds lists, but field '{}' is categorical; declare it kind: sequence",
                       raw.place(0), column.name, schema.fields()[field].name);
  const Vocabulary* const vocabulary = vocabulary_[field];
  const auto unseen = int32_t(schema.fields()[field].rows - 1);
  uint64_t hashes[kBlock];
  std::string_view tokens[kBlock];
  for (size_t i = 0; i < rows.size(); ++i) {
    tokens[i] = parser.token(field, column, rows[i]);
    hashes[i] = token_hash(tokens[i]);
    if (vocabulary) vocabulary->prefetch(hashes[i]);
  }
  for (size_t i = 0; i < rows.size(); ++i) {
    int32_t& to = out[i * ids_width_];
    if (tokens[i].empty()) {
      to = unseen;
    } else {
      to = vocabulary ? vocabulary->id(tokens[i], hashes[i]) : int32_t(1 + hashes[i] % buckets_[field]);
    }
  }
}

void Encoder::State::encode_buckets(size_t field, const std::vector<double>& numbers, std::span<const int32_t> rows,
                                    int32_t* out) const {
  const auto& missing = parser.encoding(field).values.missing;
  const auto unseen = int32_t(schema.fields()[field].rows - 1);
  for (size_t i = 0; i < rows.size(); ++i) {
    double x = numbers[size_t(rows[i])];
    if (std::isnan(x) && missing) x = *missing;
    out[i * ids_width_] = std::isnan(x) ? unseen : bucket_id(field, log_square_bucket(x));
  }
}

void Encoder::State::encode_dense(const RowValues& values, std::span<const int32_t> rows, EncodedBatch& out) const {
  out.dense.resize(rows.size() * dense_width_);
  size_t column = 0;
  for (size_t f = 0; f < schema.fields().size(); ++f) {
    if (schema.fields()[f].kind != FieldKind::numeric) continue;
    const auto& encoding = parser.encoding(f).values;
    float* to = out.dense.data() + column++;
    for (const int32_t r : rows) {
      *to = dense_value(encoding, values.numbers[f][size_t(r)]);
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
      out.ids.push_back(id(field, lists.tokens[size_t(i)]));
      if (schema.fields()[field].weighted) out.weights.push_back(lists.weights[size_t(i)]);
    }
    out.offsets.push_back(int64_t(out.ids.size()));
  }
}

bool Encoder::State::encode_ids(size_t field, const std::string_view* cells, int64_t stride, int64_t rows, int32_t* out,
                                int64_t out_stride) const {
  const auto unseen = int32_t(schema.fields()[field].rows - 1);
  const Vocabulary* const vocabulary = vocabulary_[field];
  if (parser.encoding(field).is_bucket()) {
    const auto& missing = parser.encoding(field).values.missing;
    for (int64_t i = 0; i < rows; ++i) {
      const std::string_view cell = cells[i * stride];
      double x = missing.value_or(0);
      const bool none = cell.empty() || parser.is_missing_token(cell);
      if (!none && (!parse_number(cell, x) || std::fabs(x) > FLT_MAX)) return false;
      out[i * out_stride] = none && !missing ? unseen : bucket_id(field, log_square_bucket(x));
    }
    return true;
  }
  uint64_t hashes[kCells];
  std::string_view tokens[kCells];
  for (int64_t first = 0; first < rows; first += kCells) {
    const int64_t count = std::min(kCells, rows - first);
    for (int64_t i = 0; i < count; ++i) {
      tokens[i] = parser.token(field, cells[(first + i) * stride]);
      hashes[i] = token_hash(tokens[i]);
      if (vocabulary) vocabulary->prefetch(hashes[i]);
    }
    for (int64_t i = 0; i < count; ++i) {
      int32_t& to = out[(first + i) * out_stride];
      if (tokens[i].empty()) {
        to = unseen;
      } else {
        to = vocabulary ? vocabulary->id(tokens[i], hashes[i]) : int32_t(1 + hashes[i] % buckets_[field]);
      }
    }
  }
  return true;
}

bool Encoder::State::encode_numbers(size_t field, const std::string_view* cells, int64_t stride, int64_t rows,
                                    float* out, int64_t out_stride) const {
  const auto& encoding = parser.encoding(field).values;
  const float missing = encoding.missing ? float(transformed(encoding, *encoding.missing)) : 0.0f;
  for (int64_t i = 0; i < rows; ++i) {
    const std::string_view cell = cells[i * stride];
    double x = 0;
    const bool none = cell.empty() || parser.is_missing_token(cell);
    if (!none && (!parse_number(cell, x) || std::fabs(x) > FLT_MAX)) return false;
    out[i * out_stride] = none ? missing : float(transformed(encoding, x));
  }
  return true;
}

const Schema& Encoder::schema() const { return state_->schema; }

bool Encoder::encode_ids(size_t field, const std::string_view* cells, int64_t stride, int64_t rows, int32_t* out,
                         int64_t out_stride) const {
  return state_->encode_ids(field, cells, stride, rows, out, out_stride);
}

bool Encoder::encode_numbers(size_t field, const std::string_view* cells, int64_t stride, int64_t rows, float* out,
                             int64_t out_stride) const {
  return state_->encode_numbers(field, cells, stride, rows, out, out_stride);
}

std::string Encoder::column(size_t field) const { return state_->parser.encoding(field).column; }

std::vector<std::string> Encoder::columns(Want want) const { return state_->parser.columns(want.labels); }

EncodedBatch Encoder::encode(const RawBatch& raw, Want want, BadRows* bad_rows, std::vector<int64_t>* kept) const {
  const RowValues values = state_->parser.parse(raw, want.labels, bad_rows);
  if (kept) kept->assign(values.rows.begin(), values.rows.end());
  return state_->encode(raw, values, values.rows, want.labels);
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
