// What JsonTape takes is JSON to another parser too, and says the same.
#include <cstdlib>

#include <nlohmann/json.hpp>

#include <interplay/base/error.h>
#include <interplay/base/json_tape.h>

using interplay::JsonTape;
using Kind = JsonTape::Kind;

namespace {

bool same(JsonTape::Value value, const nlohmann::json& other, int depth = 0) {
  if (depth > 100) return true;
  switch (value.kind()) {
    case Kind::null: return other.is_null();
    case Kind::boolean: return other.is_boolean() && other.get<bool>() == (value.text() == "true");
    case Kind::number: return other.is_number();
    case Kind::string: return other.is_string() && other.get_ref<const std::string&>() == value.text();
    case Kind::array: {
      size_t i = 0;
      for (const auto entry : value.values()) {
        if (!other.is_array() || i >= other.size() || !same(entry, other[i++], depth + 1)) return false;
      }
      return other.is_array() && i == other.size();
    }
    case Kind::object: {
      size_t members = 0;
      for (const auto [key, entry] : value.members()) {
        if (!other.is_object() || !other.contains(std::string(key))) return false;
        ++members;
      }
      return other.is_object() && members >= other.size();  // a key may come twice
    }
  }
  return false;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static JsonTape tape;
  const std::string text(reinterpret_cast<const char*>(data), size);
  std::string body = text;
  try {
    const auto value = tape.parse(body);
    const auto other = nlohmann::json::parse(text, nullptr, false);
    if (!other.is_discarded() && !same(value, other)) std::abort();
    if (other.is_discarded() && text.find_first_of("eE0123456789") == std::string::npos) std::abort();  // but for size
  } catch (const interplay::Error&) {
  }
  return 0;
}
