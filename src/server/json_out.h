#pragma once

#include <charconv>
#include <span>
#include <string>
#include <string_view>

namespace interplay::server {

/// Shortest text that reads back as the number, without memory of its own. JSON has no word for what is not finite.
inline void append_number(std::string& out, float value) {
  char text[32];
  const auto [end, status] = std::to_chars(text, text + sizeof text, value);
  const std::string_view written(text, size_t(end - text));
  out += written.find_first_of("ni") == std::string_view::npos ? written : std::string_view("null");
}

inline void append_numbers(std::string& out, std::span<const float> values, size_t stride = 1, size_t first = 0) {
  out += '[';
  for (size_t i = first; i < values.size(); i += stride) {
    if (i != first) out += ',';
    append_number(out, values[i]);
  }
  out += ']';
}

inline void append_string(std::string& out, std::string_view text) {
  static constexpr char kHex[] = "0123456789abcdef";
  out += '"';
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (uint8_t(c) < 0x20) {
      out += "\\u00";
      out += kHex[uint8_t(c) >> 4];
      out += kHex[c & 15];
    } else {
      out += c;
    }
  }
  out += '"';
}

}  // namespace interplay::server
