#include "data/batch/gather.h"

#include <algorithm>
#include <cstring>
#include <numeric>

#include <ATen/ATen.h>

#include <interplay/base/error.h>

namespace interplay {
namespace {

constexpr size_t kLookAhead = 32;        // rows: far enough to hide a cache miss
constexpr size_t kCacheLine = 64;        // bytes
constexpr size_t kMostPrefetched = 512;  // bytes of a row; what follows the processor fetches by itself

/// Columns that lie side by side in the source, and so in one copy.
struct Run {
  size_t first, count;
};

std::vector<Run> runs_of(const std::vector<int64_t>& columns) {
  std::vector<Run> runs;
  for (const int64_t c : columns) {
    if (!runs.empty() && int64_t(runs.back().first + runs.back().count) == c) {
      ++runs.back().count;
    } else {
      runs.push_back({size_t(c), 1});
    }
  }
  return runs;
}

template <class T>
void prefetch_run(const T* from, size_t count) {
  const auto* const bytes = reinterpret_cast<const char*>(from);
  const size_t size = std::min(count * sizeof(T), kMostPrefetched);
  for (size_t at = 0; at < size; at += kCacheLine) __builtin_prefetch(bytes + at, 0, 2);
  __builtin_prefetch(bytes + size - 1, 0, 2);  // a row begins anywhere in its first line
}

/// Copies `columns` of each row of a [rows, width] matrix of the block, which `matrix_of` finds.
template <class T, class MatrixOf>
void copy_matrix(std::span<const RowAt> rows, int64_t width, const std::vector<int64_t>& columns, MatrixOf matrix_of,
                 T* to) {
  const auto source = [&](const RowAt& at) { return matrix_of(*at.block) + at.row * width; };
  const std::vector<Run> runs = runs_of(columns);
  if (runs.empty()) return;
  for (size_t i = 0; i < rows.size(); ++i) {
    if (i + kLookAhead < rows.size()) {
      const T* const ahead = source(rows[i + kLookAhead]);
      for (const Run& run : runs) prefetch_run(ahead + run.first, run.count);
    }
    const T* const from = source(rows[i]);
    for (const Run& run : runs) {
      if (run.count == 1) {
        *to = from[run.first];
      } else {
        std::memcpy(to, from + run.first, run.count * sizeof(T));
      }
      to += run.count;
    }
  }
}

std::vector<int64_t> first_columns(int64_t count) {
  std::vector<int64_t> columns(static_cast<size_t>(count));
  std::iota(columns.begin(), columns.end(), 0);
  return columns;
}

template <class T, class ColumnOf>
void copy_column(std::span<const RowAt> rows, ColumnOf column_of, T* to) {
  copy_matrix(rows, 1, {0}, column_of, to);
}

/// i64 [B + 1]; `ragged_of` gives what a block holds of the field.
template <class RaggedOf>
at::Tensor offsets_of(std::span<const RowAt> rows, RaggedOf ragged_of) {
  auto offsets = at::empty({int64_t(rows.size()) + 1}, at::kLong);
  int64_t* to = offsets.data_ptr<int64_t>();
  int64_t total = 0;
  *to++ = 0;
  for (const auto& [block, row] : rows) {
    const int32_t* const bounds = ragged_of(*block).offsets + row;
    total += bounds[1] - bounds[0];
    *to++ = total;
  }
  return offsets;
}

/// The entries of one field, row after row; `values_of` gives a block's ids, weights or columns.
template <class T, class RaggedOf, class ValuesOf>
void copy_ragged(std::span<const RowAt> rows, RaggedOf ragged_of, ValuesOf values_of, T* to) {
  for (const auto& [block, row] : rows) {
    const auto& ragged = ragged_of(*block);
    const int64_t first = ragged.offsets[row], count = ragged.offsets[row + 1] - first;
    if (count == 0) continue;
    std::memcpy(to, values_of(*block) + first, size_t(count) * sizeof(T));
    to += count;
  }
}

std::vector<Sequence> gather_sequences(std::span<const RowAt> rows, const Projection& projection) {
  const auto fields = projection.schema.of(FieldKind::sequence);
  std::vector<Sequence> sequences(fields.size());
  for (const Field* field : fields) {  // those that lead first: a pair takes its offsets from them
    if (!field->paired_with.empty()) continue;
    const auto column = size_t(field->column);
    const auto source = size_t(projection.sequences[column]);
    sequences[column].offsets = offsets_of(
        rows, [&](const RowBlock& b) -> const auto& { return b.sequences[source]; });
  }
  for (const Field* field : fields) {
    const auto column = size_t(field->column);
    const auto source = size_t(projection.sequences[column]);
    Sequence& sequence = sequences[column];
    if (!field->paired_with.empty()) {
      sequence.offsets = sequences[size_t(projection.schema.field(field->paired_with).column)].offsets;
    }
    const int64_t total = sequence.offsets.data_ptr<int64_t>()[rows.size()];
    const auto ragged_of = [&](const RowBlock& b) -> const auto& { return b.sequences[source]; };
    sequence.ids = at::empty({total}, at::kInt);
    copy_ragged(
        rows, ragged_of, [&](const RowBlock& b) { return ragged_of(b).ids; }, sequence.ids.data_ptr<int32_t>());
    if (!field->weighted) continue;
    sequence.weights = at::empty({total}, at::kFloat);
    copy_ragged(
        rows, ragged_of, [&](const RowBlock& b) { return ragged_of(b).weights; }, sequence.weights.data_ptr<float>());
  }
  return sequences;
}

Tokens gather_text(std::span<const RowAt> rows, size_t source) {
  const auto ragged_of = [&](const RowBlock& b) -> const auto& { return b.texts[source].tokens; };
  Tokens out;
  out.offsets = offsets_of(rows, ragged_of);
  const int64_t total = out.offsets.data_ptr<int64_t>()[rows.size()];
  out.ids = at::empty({total}, at::kInt);
  copy_ragged(
      rows, ragged_of, [&](const RowBlock& b) { return b.texts[source].tokens.ids; }, out.ids.data_ptr<int32_t>());
  out.columns = at::empty({total}, at::kChar);
  copy_ragged(
      rows, ragged_of, [&](const RowBlock& b) { return b.texts[source].columns; }, out.columns.data_ptr<int8_t>());
  return out;
}

}  // namespace

Projection::Projection(const Schema& from, const Schema& to)
    : schema(to),
      ids_width(from.count(FieldKind::categorical)),
      dense_width(from.count(FieldKind::numeric)),
      labels_width(int64_t(from.labels().size())) {
  for (const Field& field : to.fields()) {
    const Field& source = from.field(field.name);
    INTERPLAY_CHECK(source.kind == field.kind, "field '{}': the data hold a {} field, the model asks for a {} field",
                    field.name, to_string(source.kind), to_string(field.kind));
    INTERPLAY_CHECK(
        source.rows == field.rows && source.dimension == field.dimension,
        "field '{}': the data were prepared with {} rows (dimension {}), the model has {} ({}); use the data "
        "that the model was made for",
        field.name, source.rows, source.dimension, field.rows, field.dimension);
    INTERPLAY_CHECK(source.weighted == field.weighted && source.paired_with == field.paired_with,
                    "field '{}': weights or pairing differ between data and model", field.name);
    switch (field.kind) {
      case FieldKind::categorical: ids.push_back(source.column); break;
      case FieldKind::numeric: dense.push_back(source.column); break;
      case FieldKind::sequence: sequences.push_back(source.column); break;
      case FieldKind::vector: vectors.push_back(source.column); break;
      case FieldKind::text:
        INTERPLAY_CHECK(source.text_columns == field.text_columns,
                        "field '{}': the data's tokens come from the columns {}, the model knows {}; use the data that "
                        "the model was made for",
                        field.name, fmt::join(source.text_columns, ", "), fmt::join(field.text_columns, ", "));
        texts.push_back(source.column);
        break;
    }
  }
  for (const auto& label : to.labels()) {
    const auto found = std::find(from.labels().begin(), from.labels().end(), label);
    INTERPLAY_CHECK(found != from.labels().end(), "label '{}': the data have no such label (labels: {})", label,
                    fmt::join(from.labels(), ", "));
    labels.push_back(found - from.labels().begin());
  }
}

Batch gather_rows(std::span<const RowAt> rows, const Projection& p, RowColumns columns) {
  const auto B = int64_t(rows.size());
  Batch batch;
  Features& x = batch.features;
  x.rows = B;
  x.ids = at::empty({B, int64_t(p.ids.size())}, at::kInt);
  copy_matrix(
      rows, p.ids_width, p.ids, [](const RowBlock& b) { return b.ids; }, x.ids.data_ptr<int32_t>());
  x.dense = at::empty({B, int64_t(p.dense.size())}, at::kFloat);
  copy_matrix(
      rows, p.dense_width, p.dense, [](const RowBlock& b) { return b.dense; }, x.dense.data_ptr<float>());
  x.sequences = gather_sequences(rows, p);
  for (const Field* field : p.schema.of(FieldKind::vector)) {
    const auto source = size_t(p.vectors[size_t(field->column)]);
    auto vectors = at::empty({B, field->dimension}, at::kFloat);
    copy_matrix(
        rows, field->dimension, first_columns(field->dimension), [&](const RowBlock& b) { return b.vectors[source]; },
        vectors.data_ptr<float>());
    x.vectors.push_back(std::move(vectors));
  }
  for (const int64_t source : p.texts) x.tokens.push_back(gather_text(rows, size_t(source)));
  if (columns.labels) {
    batch.labels = at::empty({B, int64_t(p.labels.size())}, at::kFloat);
    copy_matrix(
        rows, p.labels_width, p.labels, [](const RowBlock& b) { return b.labels; }, batch.labels.data_ptr<float>());
  }
  if (columns.weight) {
    batch.weight = at::empty({B}, at::kFloat);
    copy_column(
        rows, [](const RowBlock& b) { return b.weight; }, batch.weight.data_ptr<float>());
  }
  if (columns.group) {
    batch.group = at::empty({B}, at::kLong);
    copy_column(
        rows, [](const RowBlock& b) { return b.group; }, batch.group.data_ptr<int64_t>());
  }
  return batch;
}

}  // namespace interplay
