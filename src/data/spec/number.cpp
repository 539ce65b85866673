#include "data/spec/number.h"

#include <charconv>
#include <cmath>
#include <cstdint>
#include <system_error>

namespace interplay {
namespace {

/// Numbers that programs write and std::from_chars() does not take: +1, blanks around, True and False, and those too
/// small for a double, which are 0.
bool parse_unusual_number(std::string_view cell, double& value) {
  while (cell.starts_with(' ')) cell.remove_prefix(1);
  while (cell.ends_with(' ')) cell.remove_suffix(1);
  for (const char* yes : {"True", "true", "TRUE"}) {
    if (cell == yes) return value = 1, true;
  }
  for (const char* no : {"False", "false", "FALSE"}) {
    if (cell == no) return value = 0, true;
  }
  if (cell.starts_with('+') && !cell.starts_with("+-")) cell.remove_prefix(1);
  const char* const end = cell.data() + cell.size();
  const auto [stop, status] = std::from_chars(cell.data(), end, value);
  if (stop != end || cell.empty()) return false;
  if (status == std::errc()) return std::isfinite(value);
  const size_t exponent = cell.find_first_of("eE");  // out of range: by its exponent, or by the zeros after the point
  const bool small = exponent == cell.npos ? cell.find_first_of("123456789") > cell.find('.')
                                           : cell.substr(exponent + 1).starts_with('-');
  value = cell.starts_with('-') ? -0.0 : 0.0;
  return small;
}

}  // namespace

bool parse_number(std::string_view cell, double& value) {
  if (!cell.empty() && cell.size() <= 15) {  // whole numbers, by far the most: exact below 2^53
    int64_t whole = 0;
    size_t i = 0;
    for (; i < cell.size() && cell[i] >= '0' && cell[i] <= '9'; ++i) whole = 10 * whole + (cell[i] - '0');
    if (i == cell.size()) return value = double(whole), true;
  }
  const char* const end = cell.data() + cell.size();
  const auto [stop, status] = std::from_chars(cell.data(), end, value);
  if (status == std::errc() && stop == end) return std::isfinite(value);
  return parse_unusual_number(cell, value);
}

bool parse_rest(std::string_view cell, double nearest, float& rest) {
  constexpr size_t kExact = 15, kMost = 19;  // digits that a double, and 64 bits, hold whatever they are
  rest = 0;
  if (cell.size() <= kExact && cell.find('.') == cell.npos) return true;
  const bool negative = nearest < 0;
  while (!cell.empty() && (cell[0] == '+' || cell[0] == '-' || cell[0] == ' ')) cell.remove_prefix(1);
  while (cell.ends_with(' ')) cell.remove_suffix(1);
  const size_t point = cell.find('.');
  while (point != cell.npos && (cell.ends_with('0') || cell.ends_with('.'))) {
    const bool whole = cell.ends_with('.');
    cell.remove_suffix(1);
    if (whole) break;
  }
  uint64_t digits = 0;
  size_t count = 0;
  long double scale = 1;
  for (size_t i = 0; i < cell.size(); ++i) {
    if (i == point) continue;
    if (cell[i] < '0' || cell[i] > '9') return true;  // 1.5e18 means the double that it is
    if (count == 0 && cell[i] == '0') {
      scale *= point < i ? 10 : 1;
      continue;
    }
    if (++count > kMost) return false;
    digits = 10 * digits + uint64_t(cell[i] - '0');
    if (point < i) scale *= 10;
  }
  const long double exact = digits / scale;
  rest = float((negative ? -exact : exact) - (long double)(nearest));
  return true;
}

}  // namespace interplay
