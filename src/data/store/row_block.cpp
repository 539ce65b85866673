#include "data/store/row_block.h"

#include <algorithm>
#include <limits>

#include <interplay/base/error.h>

namespace interplay {
namespace {

/// Ids below this may index the table. Ids are 32-bit and never negative, so that one unsigned comparison tells.
uint32_t id_limit(const Field& field) { return uint32_t(std::clamp<int64_t>(field.rows, 0, int64_t(1) << 31)); }

[[noreturn]] void id_error(const std::string& place, int64_t row, const Field& field, int32_t id) {
  const std::string of = field.kind == FieldKind::text ? fmt::format("its {} tokens", field.rows)
                                                       : fmt::format("its table of {} rows", field.rows);
  throw Error(fmt::format("{}: row {}: id {} of field '{}' lies outside {}; prepare the data again", place, row, id,
                          field.name, of),
              ErrorKind::data);
}

void check_ids(const RowBlock& block, const Schema& schema, const std::string& place) {
  const auto fields = schema.of(FieldKind::categorical);
  if (fields.empty()) return;
  std::vector<uint32_t> limits;
  for (const Field* field : fields) limits.push_back(id_limit(*field));
  const size_t F = fields.size();
  for (int64_t row = 0; row < block.rows; ++row) {
    const int32_t* const ids = block.ids + size_t(row) * F;
    bool bad = false;  // no early exit: the loop over fields stays free of branches
    for (size_t f = 0; f < F; ++f) bad |= uint32_t(ids[f]) >= limits[f];
    if (!bad) continue;
    for (size_t f = 0; f < F; ++f) {
      if (uint32_t(ids[f]) >= limits[f]) id_error(place, row, *fields[f], ids[f]);
    }
  }
}

void check_ragged(const RowBlock& block, const RowBlock::Ragged& ragged, const Field& field, const std::string& place) {
  const int32_t* const offsets = ragged.offsets;
  INTERPLAY_CHECK_DATA(offsets[0] == 0, "{}: {} '{}' begins at offset {}, expected 0; prepare the data again", place,
                       to_string(field.kind), field.name, offsets[0]);
  for (int64_t row = 0; row < block.rows; ++row) {
    INTERPLAY_CHECK_DATA(offsets[row] <= offsets[row + 1] && offsets[row + 1] <= ragged.total,
                         "{}: row {}: {} '{}' spans entries {} to {} of {}; prepare the data again", place, row,
                         to_string(field.kind), field.name, offsets[row], offsets[row + 1], ragged.total);
  }
  INTERPLAY_CHECK_DATA(offsets[block.rows] == ragged.total,
                       "{}: {} '{}' has {} entries, but its offsets end at {}; prepare the data again", place,
                       to_string(field.kind), field.name, ragged.total, offsets[block.rows]);
  const uint32_t limit = id_limit(field);
  bool bad = false;
  for (int64_t i = 0; i < ragged.total; ++i) bad |= uint32_t(ragged.ids[i]) >= limit;
  if (!bad) return;
  const auto* const wrong =
      std::find_if(ragged.ids, ragged.ids + ragged.total, [&](int32_t id) { return uint32_t(id) >= limit; });
  const auto* const end = std::upper_bound(offsets, offsets + block.rows + 1, int32_t(wrong - ragged.ids));
  id_error(place, end - offsets - 1, field, *wrong);
}

void check_text(const RowBlock& block, const RowBlock::Text& text, const Field& field, const std::string& place) {
  check_ragged(block, text.tokens, field, place);
  const auto columns = int64_t(field.text_columns.size());
  const auto* const end = text.columns + text.tokens.total;
  const auto* const wrong = std::find_if(text.columns, end, [&](int8_t c) { return c < -1 || c >= columns; });
  INTERPLAY_CHECK_DATA(wrong == end, "{}: a token of '{}' comes from column {} of its {}; prepare the data again",
                       place, field.name, int(*wrong), columns);
}

void check_size(const std::string& place, const std::string& what, size_t found, int64_t expected) {
  INTERPLAY_CHECK_DATA(int64_t(found) == expected, "{}: {} has {} values, expected {}", place, what, found, expected);
}

}  // namespace

void check_block(const RowBlock& block, const Schema& schema, const std::string& place) {
  check_ids(block, schema, place);
  for (const Field* field : schema.of(FieldKind::sequence)) {
    const auto& ragged = block.sequences[size_t(field->column)];
    check_ragged(block, ragged, *field, place);
    if (field->paired_with.empty()) continue;
    const auto& partner = block.sequences[size_t(schema.field(field->paired_with).column)];
    INTERPLAY_CHECK_DATA(std::equal(ragged.offsets, ragged.offsets + block.rows + 1, partner.offsets),
                         "{}: sequences '{}' and '{}' are paired but differ in length; prepare the data again", place,
                         field->name, field->paired_with);
  }
  for (const Field* field : schema.of(FieldKind::text))
    check_text(block, block.texts[size_t(field->column)], *field, place);
}

void check_sizes(const EncodedBatch& batch, const Schema& schema, RowColumns columns, const std::string& place) {
  const int64_t rows = batch.rows;
  INTERPLAY_CHECK_DATA(rows >= 0, "{}: {} rows", place, rows);
  check_size(place, "ids", batch.ids.size(), rows * schema.count(FieldKind::categorical));
  check_size(place, "dense", batch.dense.size(), rows * schema.count(FieldKind::numeric));
  check_size(place, "labels", batch.labels.size(), columns.labels ? rows * int64_t(schema.labels().size()) : 0);
  check_size(place, "weight", batch.weight.size(), columns.weight ? rows : 0);
  check_size(place, "group", batch.group.size(), columns.group ? rows : 0);
  check_size(place, "time", batch.time.size(), columns.time ? rows : 0);
  const auto sequences = schema.of(FieldKind::sequence);
  check_size(place, "sequences", batch.sequences.size(), int64_t(sequences.size()));
  for (const Field* field : sequences) {
    const auto& sequence = batch.sequences[size_t(field->column)];
    const int64_t total = int64_t(sequence.ids.size());
    check_size(place, field->name + " (offsets)", sequence.offsets.size(), rows + 1);
    check_size(place, field->name + " (weights)", sequence.weights.size(), field->weighted ? total : 0);
    INTERPLAY_CHECK_DATA(total <= std::numeric_limits<int32_t>::max(),
                         "{}: sequence '{}' has {} entries in one batch; use smaller batches or a lower max_length",
                         place, field->name, total);
  }
  const auto vectors = schema.of(FieldKind::vector);
  check_size(place, "vectors", batch.vectors.size(), int64_t(vectors.size()));
  for (const Field* field : vectors) {
    check_size(place, field->name, batch.vectors[size_t(field->column)].size(), rows * field->dimension);
  }
  const auto texts = schema.of(FieldKind::text);
  check_size(place, "texts", batch.texts.size(), int64_t(texts.size()));
  for (const Field* field : texts) {
    const auto& text = batch.texts[size_t(field->column)];
    const int64_t total = int64_t(text.ids.size());
    check_size(place, field->name + " (offsets)", text.offsets.size(), rows + 1);
    check_size(place, field->name + " (columns)", text.columns.size(), total);
    INTERPLAY_CHECK_DATA(total <= std::numeric_limits<int32_t>::max(),
                         "{}: text '{}' has {} tokens in one batch; use smaller batches or fewer tokens", place,
                         field->name, total);
  }
}

RowColumns columns_of(const EncodedBatch& batch) {
  return {.labels = !batch.labels.empty(),
          .weight = !batch.weight.empty(),
          .group = !batch.group.empty(),
          .time = !batch.time.empty()};
}

RowBlock block_of(EncodedBatch batch, const Schema& schema, const std::string& place) {
  check_sizes(batch, schema, columns_of(batch), place);
  struct Owner {
    EncodedBatch batch;
    std::vector<std::vector<int32_t>> offsets;  // files hold 32-bit offsets, and so do blocks
  };
  const auto owner = std::make_shared<Owner>();
  owner->batch = std::move(batch);
  const EncodedBatch& held = owner->batch;
  const auto pointer = [](const auto& values) { return values.empty() ? nullptr : values.data(); };
  RowBlock block{.rows = held.rows,
                 .ids = pointer(held.ids),
                 .dense = pointer(held.dense),
                 .sequences = {},
                 .vectors = {},
                 .texts = {},
                 .labels = pointer(held.labels),
                 .weight = pointer(held.weight),
                 .group = pointer(held.group),
                 .time = pointer(held.time),
                 .owner = owner};
  const auto narrow = [&](const std::vector<int64_t>& wide) {
    std::vector<int32_t> offsets;
    offsets.reserve(wide.size());
    for (const int64_t offset : wide)
      offsets.push_back(int32_t(std::clamp<int64_t>(offset, -1, std::numeric_limits<int32_t>::max())));
    return owner->offsets.emplace_back(std::move(offsets)).data();  // moving a vector leaves its elements in place
  };
  for (const auto& sequence : held.sequences) {
    block.sequences.push_back(
        {pointer(sequence.ids), narrow(sequence.offsets), pointer(sequence.weights), int64_t(sequence.ids.size())});
  }
  for (const auto& text : held.texts) {
    block.texts.push_back(
        {{pointer(text.ids), narrow(text.offsets), nullptr, int64_t(text.ids.size())}, pointer(text.columns)});
  }
  for (const auto& values : held.vectors) block.vectors.push_back(pointer(values));
  check_block(block, schema, place);
  return block;
}

}  // namespace interplay
