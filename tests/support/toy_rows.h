#pragma once

#include <filesystem>
#include <string>

#include <interplay/data/dataset_writer.h>

namespace interplay::testing {

inline Field make_field(const std::string& name, FieldKind kind = FieldKind::categorical, int64_t rows = 0,
                        const std::string& table = "") {
  Field field;
  field.name = name;
  field.kind = kind;
  field.rows = rows;
  if (rows > 0) field.table = table.empty() ? name : table;
  return field;
}

/// Two categorical fields, a number, a history of items with a paired sequence of ratings, a weighted sequence, a
/// vector.
inline Schema toy_schema() {
  Field history = make_field("hist", FieldKind::sequence, 9, "item_id");
  history.max_length = 3;
  history.target = "item_id";
  Field ratings = make_field("hist_ratings", FieldKind::sequence, 5);
  ratings.max_length = 3;
  ratings.paired_with = "hist";
  Field tags = make_field("tags", FieldKind::sequence, 4);
  tags.max_length = 1;
  tags.weighted = true;
  Field image = make_field("image", FieldKind::vector);
  image.dimension = 2;
  return Schema({make_field("user_id", FieldKind::categorical, 6), make_field("item_id", FieldKind::categorical, 9),
                 make_field("age", FieldKind::numeric), history, ratings, tags, image},
                {"click", "like"});
}

/// Rows first .. first + count of an endless table whose every cell follows from its row number r:
/// user r % 6, item r % 9, age r / 2, hist r % 4 items (r + i) % 9 rated (r + i) % 5, tags r % 2 of id r % 4 weighing
/// r + 0.25, image (r, -r), click r % 3 == 0, like r % 5 == 0, weight 1 + r % 2, group r / 4, time 1000 + r.
inline EncodedBatch toy_rows(int64_t first, int64_t count, bool side_columns = true) {
  EncodedBatch batch;
  batch.rows = count;
  batch.sequences.resize(3);
  batch.vectors.resize(1);
  for (auto& sequence : batch.sequences) sequence.offsets.push_back(0);
  for (int64_t r = first; r < first + count; ++r) {
    batch.ids.insert(batch.ids.end(), {int32_t(r % 6), int32_t(r % 9)});
    batch.dense.push_back(float(r) / 2);
    for (int64_t i = 0; i < r % 4; ++i) {
      batch.sequences[0].ids.push_back(int32_t((r + i) % 9));
      batch.sequences[1].ids.push_back(int32_t((r + i) % 5));
    }
    if (r % 2 == 1) {
      batch.sequences[2].ids.push_back(int32_t(r % 4));
      batch.sequences[2].weights.push_back(float(r) + 0.25f);
    }
    for (auto& sequence : batch.sequences) sequence.offsets.push_back(int64_t(sequence.ids.size()));
    batch.vectors[0].insert(batch.vectors[0].end(), {float(r), -float(r)});
    batch.labels.insert(batch.labels.end(), {float(r % 3 == 0), float(r % 5 == 0)});
    if (!side_columns) continue;
    batch.weight.push_back(float(1 + r % 2));
    batch.group.push_back(r / 4);
    batch.time.push_back(double(1000 + r));
  }
  return batch;
}

/// Prepared data with one split.
inline void write_toy_data(const std::filesystem::path& directory, int64_t rows, const std::string& split = "train") {
  const Schema schema = toy_schema();
  schema.save(directory / "schema.yaml");
  DatasetWriter writer(directory, split, schema, /*weight=*/true, /*group=*/true, /*time=*/true);
  writer.write(toy_rows(0, rows));
  writer.finish();
  Manifest::describe(directory, writer.entries()).save(directory);
}

}  // namespace interplay::testing
