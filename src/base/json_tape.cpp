#include <interplay/base/json_tape.h>

#include <limits>

// A namespace of its own: Arrow has another version of these classes in its libraries. simdjson, which is faster, Arrow
// has too, and there it cannot be told apart: libparquet exports it, and would be called in the place of ours.
#define RAPIDJSON_NAMESPACE interplay_rapidjson
#define RAPIDJSON_NAMESPACE_BEGIN namespace interplay_rapidjson {
#define RAPIDJSON_NAMESPACE_END }
#if defined(__SSE2__)
#define RAPIDJSON_SSE2
#endif
#include <rapidjson/error/en.h>
#include <rapidjson/reader.h>

#include <interplay/base/error.h>

namespace interplay {

namespace json = interplay_rapidjson;

namespace {

constexpr size_t kReadAhead = 16;  // bytes that RapidJSON looks at together

/// Whether an escape told half of a surrogate pair, which RapidJSON writes as three bytes that are not UTF-8 if it is
/// the lower half. Raw text that has them is refused before.
bool holds_half_a_pair(std::string_view text) {
  for (size_t i = text.find('\xed'); i != text.npos; i = text.find('\xed', i + 1))
    if (uint8_t(text[i + 1]) >= 0xa0) return true;
  return false;
}

}  // namespace

/// What RapidJSON meets, in the order of the text.
struct JsonTape::Handler : json::BaseReaderHandler<json::UTF8<>, Handler> {
  explicit Handler(JsonTape& to) : tape(to) {}

  bool add(Kind kind, const char* text, json::SizeType length) {
    const auto place = uint32_t(tape.nodes_.size());
    tape.nodes_.push_back({text, uint32_t(length), kind, place + 1});
    return true;
  }
  bool open(Kind kind) {
    tape.open_.push_back(uint32_t(tape.nodes_.size()));
    return add(kind, nullptr, 0);
  }
  bool close() {
    tape.nodes_[tape.open_.back()].end = uint32_t(tape.nodes_.size());
    tape.open_.pop_back();
    return true;
  }

  bool Null() { return add(Kind::null, nullptr, 0); }
  bool Bool(bool value) { return value ? add(Kind::boolean, "true", 4) : add(Kind::boolean, "false", 5); }
  bool RawNumber(const char* text, json::SizeType length, bool) { return add(Kind::number, text, length); }
  bool String(const char* text, json::SizeType length, bool) {
    if (holds_half_a_pair({text, length})) return refused = text, false;
    return add(Kind::string, text, length);
  }
  bool Key(const char* text, json::SizeType length, bool copied) { return String(text, length, copied); }
  bool StartObject() { return open(Kind::object); }
  bool EndObject(json::SizeType) { return close(); }
  bool StartArray() { return open(Kind::array); }
  bool EndArray(json::SizeType) { return close(); }

  JsonTape& tape;
  const char* refused = nullptr;  // string that is no text
};

JsonTape::Value JsonTape::parse(std::string& text, size_t length) {
  length = std::min(length, text.size());
  INTERPLAY_CHECK_DATA(length < std::numeric_limits<uint32_t>::max(), "{} bytes of JSON; less than 4 GB are taken",
                       length);
  text.reserve(text.size() + kReadAhead);
  nodes_.clear();
  open_.clear();
  const char behind = text[length];  // of which the parser knows by a zero that nothing follows
  text[length] = 0;
  constexpr unsigned kFlags = json::kParseInsituFlag | json::kParseIterativeFlag | json::kParseNumbersAsStringsFlag |
                              json::kParseValidateEncodingFlag;
  json::Reader reader;
  json::InsituStringStream in(text.data());
  Handler handler(*this);
  const json::ParseResult result = reader.Parse<kFlags>(in, handler);
  const size_t read = in.Tell();
  text[length] = behind;
  INTERPLAY_CHECK_DATA(!handler.refused,
                       "not JSON at byte {}: half of a surrogate pair in this string; such escapes come in pairs",
                       handler.refused - text.data());
  INTERPLAY_CHECK_DATA(result, "not JSON at byte {}: {}", result.Offset() + 1, json::GetParseError_En(result.Code()));
  INTERPLAY_CHECK_DATA(read == length, "not JSON at byte {}: a zero byte", read + 1);
  return {nodes_.data(), nodes_.data()};
}

}  // namespace interplay
