// The rows that a run is judged on, and what their values are called.
#include "run_data.h"

namespace interplay::tool {

std::filesystem::path data_of(const std::string& data, const Bundle& bundle) {
  if (!data.empty()) return data;
  INTERPLAY_CHECK(bundle.config().has("data"), "{}: does not say which data it was trained on; give --data DIR",
                  bundle.directory().string());
  return bundle.config()["data"].as<std::string>();
}

void check_by(const std::string& by, const Schema& schema) {
  const Field& field = schema.field(by);
  INTERPLAY_CHECK(field.kind == FieldKind::categorical, "--by {}: the field is {}; only categorical fields make slices",
                  by, to_string(field.kind));
}

std::string value_name(const Encoder& encoder, const Field& field, int32_t id) {
  const std::string token = encoder.token(field.table, id);
  if (!token.empty()) return token;
  return id + 1 == field.rows ? "(unseen)" : fmt::format("id {}", id);
}

}  // namespace interplay::tool
