#include <set>

#include <arrow/status.h>
#include <arrow/type.h>
#include <arrow/util/key_value_metadata.h>
#include <nlohmann/json.hpp>

#include "data/store/arrow_file.h"

namespace interplay {
namespace {

/// Lists without a place for a missing entry: what the files hold is complete.
std::shared_ptr<arrow::Field> item(const std::shared_ptr<arrow::DataType>& type) {
  return arrow::field("item", type, /*nullable=*/false);
}

std::shared_ptr<arrow::DataType> row_of(const std::shared_ptr<arrow::DataType>& type, int64_t width) {
  return arrow::fixed_size_list(item(type), int32_t(width));
}

std::string names_of(const std::vector<const Field*>& fields) {
  auto names = nlohmann::json::array();
  for (const Field* field : fields) names.push_back(field->name);
  return names.dump();
}

class Columns {
 public:
  void add(const std::string& name, const std::shared_ptr<arrow::DataType>& type) {
    INTERPLAY_CHECK(names_.insert(name).second,
                    "field '{}': prepared files have a column of this name already; rename the field", name);
    fields_.push_back(arrow::field(name, type, /*nullable=*/false));
  }
  /// The names of the fixed columns are taken even where a file has no such column.
  void add_user_named(const std::string& name, const std::shared_ptr<arrow::DataType>& type) {
    static const std::set<std::string> reserved = {"ids", "dense", "labels", "weight", "group", "time"};
    INTERPLAY_CHECK(!reserved.contains(name),
                    "field '{}': prepared files use this name for a column of their own ({}); "
                    "rename the field",
                    name, fmt::join(reserved, ", "));
    add(name, type);
  }
  std::vector<std::shared_ptr<arrow::Field>> take() { return std::move(fields_); }

 private:
  std::set<std::string> names_;
  std::vector<std::shared_ptr<arrow::Field>> fields_;
};

}  // namespace

std::string split_file_name(const std::string& split, size_t index) {
  return fmt::format("{}-{:05}.arrow", split, index);
}

std::shared_ptr<arrow::Schema> arrow_schema(const Schema& schema, RowColumns wanted) {
  Columns columns;
  const int64_t F = schema.count(FieldKind::categorical), D = schema.count(FieldKind::numeric);
  if (F > 0) columns.add("ids", row_of(arrow::int32(), F));
  if (D > 0) columns.add("dense", row_of(arrow::float32(), D));
  for (const Field* field : schema.of(FieldKind::sequence)) {
    columns.add_user_named(field->name, arrow::list(item(arrow::int32())));
    if (field->weighted) columns.add_user_named(field->name + ".weights", arrow::list(item(arrow::float32())));
  }
  for (const Field* field : schema.of(FieldKind::vector)) {
    columns.add_user_named(field->name, row_of(arrow::float32(), field->dimension));
  }
  for (const Field* field : schema.of(FieldKind::text)) {
    columns.add_user_named(field->name, arrow::list(item(arrow::int32())));
    columns.add_user_named(field->name + ".columns", arrow::list(item(arrow::int8())));
  }
  if (wanted.labels) columns.add("labels", row_of(arrow::float32(), int64_t(schema.labels().size())));
  if (wanted.weight) columns.add("weight", arrow::float32());
  if (wanted.group) columns.add("group", arrow::int64());
  if (wanted.time) columns.add("time", arrow::float64());

  const auto metadata =
      arrow::key_value_metadata({{"interplay.format", "1"},
                                 {"interplay.fingerprint", fmt::format("{:016x}", schema.fingerprint())},
                                 {"interplay.ids", names_of(schema.of(FieldKind::categorical))},
                                 {"interplay.dense", names_of(schema.of(FieldKind::numeric))},
                                 {"interplay.labels", nlohmann::json(schema.labels()).dump()}});
  return arrow::schema(columns.take(), metadata);
}

void check_arrow(const arrow::Status& status, const std::string& place) {
  INTERPLAY_CHECK_DATA(status.ok(), "{}: {}", place, status.message());
}

}  // namespace interplay
