#include <interplay/base/printable.h>

#include <algorithm>
#include <cstdint>

#include <fmt/format.h>

namespace interplay {
namespace {

/// How many bytes from the beginning of `text` are one valid character of UTF-8; 0 where they are none.
size_t utf8_character(std::string_view text) {
  if (text.empty()) return 0;
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  if (byte(0) < 0x80) return 1;
  const size_t size = byte(0) >= 0xf0 && byte(0) <= 0xf4  ? 4
                      : byte(0) >= 0xe0 && byte(0) < 0xf0 ? 3
                      : byte(0) >= 0xc2 && byte(0) < 0xe0 ? 2
                                                          : 0;
  if (size == 0 || text.size() < size) return 0;
  uint32_t code = byte(0) & (0x7fu >> size);
  for (size_t i = 1; i < size; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return 0;
    code = code << 6 | (byte(i) & 0x3fu);
  }
  const bool overlong = (size == 3 && code < 0x800) || (size == 4 && code < 0x10000);
  return overlong || code > 0x10ffff || (code >= 0xd800 && code < 0xe000) ? 0 : size;
}

}  // namespace

std::string printable(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const size_t size = utf8_character(text);
    const auto first = static_cast<unsigned char>(text[0]);
    const bool control = (first < 0x20 && first != '\n' && first != '\t') || first == 0x7f ||
                         (size == 2 && first == 0xc2 && static_cast<unsigned char>(text[1]) < 0xa0);  // C1: U+0080..9f
    const size_t bytes = std::max<size_t>(size, 1);
    for (const char c : text.substr(0, bytes)) {
      if (size == 0 || control) {
        out += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
      } else {
        out += c;
      }
    }
    text.remove_prefix(bytes);
  }
  return out;
}

}  // namespace interplay
