#include "data/read/line_splitter.h"

#include <algorithm>
#include <bit>
#include <cstring>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

namespace interplay {
namespace {

constexpr size_t kStep = 64;  // bytes looked at together: a bit each

/// Bit i says whether from[i] is one of the two.
uint64_t find_either(const char* from, char a, char b) {
  uint64_t found = 0;
#ifdef __SSE2__  // every x86-64 has it
  const __m128i as = _mm_set1_epi8(a), bs = _mm_set1_epi8(b);
  for (size_t i = 0; i < kStep; i += 16) {
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from + i));
    const __m128i same = _mm_or_si128(_mm_cmpeq_epi8(bytes, as), _mm_cmpeq_epi8(bytes, bs));
    found |= uint64_t(uint32_t(_mm_movemask_epi8(same))) << i;
  }
#else
  for (size_t i = 0; i < kStep; ++i) found |= uint64_t(from[i] == a || from[i] == b) << i;
#endif
  return found;
}

}  // namespace

SplitLines split_lines(std::string_view text, char separator, int64_t columns, int64_t lines) {
  SplitLines out;
  out.begins = std::make_unique_for_overwrite<int32_t[]>(size_t(lines * (columns + 1)) + 1);
  int32_t* row = out.begins.get();
  int64_t line = 0, cell = 0;
  int32_t begin = 0;  // of the line
  row[0] = 0;
  const auto stop_at = [&](int32_t at) {
    if (text[size_t(at)] == separator) {
      row[std::min(++cell, columns)] = at + 1;
      return;
    }
    const int32_t end = at > begin && text[size_t(at) - 1] == '\r' ? at - 1 : at;
    if (cell + 1 == columns) {
      row[columns] = end + 1;
      row += columns + 1;
      ++out.rows;
    } else {
      out.wrong.push_back({line, cell + 1, std::string(text.substr(size_t(begin), size_t(end - begin)))});
    }
    ++line;
    cell = 0;
    begin = at + 1;
    if (line < lines) row[0] = begin;
  };
  for (size_t from = 0; from < text.size(); from += kStep) {
    char rest[kStep] = {};
    const char* bytes = text.data() + from;
    if (text.size() - from < kStep) {
      std::memcpy(rest, bytes, text.size() - from);
      bytes = rest;
    }
    for (uint64_t found = find_either(bytes, separator, '\n'); found != 0; found &= found - 1) {
      const auto at = from + size_t(std::countr_zero(found));
      if (at < text.size()) stop_at(int32_t(at));  // the zeros beyond the text may be the separator
    }
  }
  return out;
}

}  // namespace interplay
