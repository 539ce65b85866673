#include "scores.h"

#include <cctype>
#include <charconv>
#include <cmath>
#include <fstream>
#include <optional>
#include <string_view>

#include <interplay/base/error.h>
#include <interplay/base/files.h>

namespace interplay::tool {
namespace {

/// A whole line as one finite number.
std::optional<float> to_score(std::string_view line) {
  const auto blank = [](char c) { return c == ' ' || c == '\t' || c == '\r'; };
  while (!line.empty() && blank(line.back())) line.remove_suffix(1);
  while (!line.empty() && blank(line.front())) line.remove_prefix(1);
  if (line.size() > 1 && line[0] == '+' && line[1] != '-') line.remove_prefix(1);
  double value = 0;  // what is too small for a float is 0
  const auto [end, status] = std::from_chars(line.data(), line.data() + line.size(), value);
  if (status != std::errc() || end != line.data() + line.size() || !std::isfinite(float(value))) return std::nullopt;
  return float(value);
}

/// What a column of scores may be called, as in the files that `predict` writes: one name, which is no number.
bool is_score_name(std::string_view line) {
  return !line.empty() && (std::isalpha(static_cast<unsigned char>(line[0])) || line[0] == '_') &&
         line.find_first_of(",;|\t\" ") == line.npos && line != "nan" && line != "inf" && line != "NaN" &&
         line != "NA" && line != "null" && line != "NULL";
}

}  // namespace

std::vector<float> read_scores(const std::string& file) {
  std::vector<float> scores;
  std::ifstream in(file);
  INTERPLAY_CHECK_DATA(in.good(), "--against {}: cannot be read", file);
  int64_t number = 0;
  for (std::string line; std::getline(in, line);) {
    if (++number == 1 && line.starts_with("\xEF\xBB\xBF")) line.erase(0, 3);
    while (!line.empty() && line.back() == '\r') line.pop_back();
    if (number == 1 && is_score_name(line)) continue;
    const auto score = to_score(line);
    INTERPLAY_CHECK_DATA(score,
                         "--against {}:{}: '{}' is not a finite number; expected one score a line and nothing else",
                         file, number, line);
    scores.push_back(*score);
  }
  return scores;
}

void check_scores_file(const std::string& file) {
  std::ifstream in(file);
  std::string line;
  if (!in.good() || !std::getline(in, line)) return;
  INTERPLAY_CHECK(to_score(line), "--scores {}: exists already, and holds no scores; give another file", file);
}

}  // namespace interplay::tool
