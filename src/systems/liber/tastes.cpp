#include "systems/liber/tastes.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include <fmt/format.h>

#include <interplay/base/error.h>
#include <interplay/data/number.h>

namespace interplay {
namespace {

constexpr std::string_view kOf = " of ";

/// What a share of likes is called.
const char* word_of(const Taste& taste) {
  const double share = double(taste.liked) / double(taste.seen);
  return share >= 0.75 ? "loves" : share >= 0.5 ? "likes" : share >= 0.25 ? "is unsure of" : "dislikes";
}

/// A value that does not end what it stands in.
std::string plain(std::string_view value) {
  std::string out(value);
  for (char& c : out) {
    if (c == ';' || c == '\n' || c == '\r') c = ',';
  }
  return out;
}

/// Takes a number off the end of a text.
bool take_number(std::string_view& text, int64_t& out) {
  size_t begin = text.size();
  while (begin > 0 && text[begin - 1] >= '0' && text[begin - 1] <= '9') --begin;
  const auto [end, error] = std::from_chars(text.data() + begin, text.data() + text.size(), out);
  if (begin == text.size() || error != std::errc()) return false;
  text.remove_suffix(text.size() - begin);
  return true;
}

bool take_end(std::string_view& text, std::string_view end) {
  if (!text.ends_with(end)) return false;
  text.remove_suffix(end.size());
  return true;
}

/// "loves Drama 18 of 20"
bool read_taste(std::string_view text, std::string& value, Taste& taste) {
  if (!take_number(text, taste.seen) || !take_end(text, kOf) || !take_number(text, taste.liked) || !take_end(text, " "))
    return false;
  for (const std::string_view word : {"loves ", "likes ", "is unsure of ", "dislikes "}) {
    if (!text.starts_with(word)) continue;
    value = text.substr(word.size());
    return !value.empty() && taste.seen > 0 && taste.liked <= taste.seen;
  }
  return false;
}

}  // namespace

TasteCounter::TasteCounter(const TasteOptions& options, const Config& at) : like_(options.like) {
  like_.check(at["like"]);
  if (options.columns.empty()) at["columns"].fail("missing; which columns' values tell what a user likes?");
  columns_.push_back(like_.column);
  for (TasteColumn column : options.columns) {
    if (column.column.empty()) at["columns"].fail("each needs a column");
    if (column.name.empty()) column.name = column.column;
    const auto known = std::find(columns_.begin(), columns_.end(), column.column);
    places_.push_back(size_t(known - columns_.begin()));
    if (known == columns_.end()) columns_.push_back(column.column);
    without_.emplace_back(column.without.empty() ? "$^" : column.without, at["columns"]);
    counted_.push_back(std::move(column));
  }
}

void TasteCounter::count(std::span<const PartitionLog::Event> events, Tastes& tastes) const {
  tastes.resize(counted_.size());
  for (const auto& event : events) {
    double number = 0;
    const bool liked = parse_number(event.cells[0], number) && like_.passes(number);
    for (size_t c = 0; c < counted_.size(); ++c) {
      const TasteColumn& column = counted_[c];
      const std::string& whole = event.cells[places_[c]];
      const std::string value = plain(column.without.empty() ? whole : without_[c].without_matches(whole));
      if (value.empty()) continue;
      tastes[c][value + column.then] += {liked ? 1 : 0, 1};
    }
  }
}

std::string tell_tastes(const std::vector<TasteColumn>& columns, const Tastes& tastes, int64_t most) {
  std::string out;
  for (size_t c = 0; c < tastes.size(); ++c) {
    std::vector<std::pair<std::string, Taste>> order(tastes[c].begin(), tastes[c].end());
    std::stable_sort(order.begin(), order.end(),
                     [](const auto& a, const auto& b) { return a.second.seen > b.second.seen; });
    if (most > 0 && int64_t(order.size()) > most) order.resize(size_t(most));
    if (order.empty()) continue;
    out += fmt::format("{}{}:", out.empty() ? "" : "\n", columns[c].name);
    for (const auto& [value, taste] : order)
      out += fmt::format("{} {} {} {}{}{}", &value == &order[0].first ? "" : ";", word_of(taste), value, taste.liked,
                         kOf, taste.seen);
  }
  return out;
}

Tastes read_tastes(const std::vector<TasteColumn>& columns, std::string_view text) {
  Tastes out(columns.size());
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    for (size_t c = 0; c < columns.size(); ++c) {
      const std::string head = columns[c].name + ":";
      if (!line.starts_with(head)) continue;
      line.remove_prefix(head.size());
      while (!line.empty()) {
        const size_t stop = std::min(line.find(';'), line.size());
        std::string value;
        Taste taste;
        if (read_taste(line.substr(1, stop - 1), value, taste)) out[c][value] += taste;
        line.remove_prefix(std::min(stop + 1, line.size()));
      }
      break;
    }
  }
  return out;
}

}  // namespace interplay
