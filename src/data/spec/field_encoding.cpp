#include <interplay/data/field_encoding.h>

namespace interplay {

Config to_config(const FieldEncoding& encoding) {
  const Config full = write_options(encoding), plain = write_options(FieldEncoding());
  Config out;
  for (const auto& key : full.keys()) {
    if (key == "values" || full[key] == plain[key]) continue;
    out.set_key(key, full[key]);
  }
  for (const auto& key : full["values"].keys()) {
    if (!(full["values"][key] == plain["values"][key])) out.set("values." + key, full["values"][key]);
  }
  return out;
}

}  // namespace interplay
