#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <interplay/base/api.h>
#include <interplay/systems/liber.h>

#include "systems/lab/text_pattern.h"

namespace interplay {

/// How often something came up, and how often it was liked.
struct Taste {
  int64_t liked = 0, seen = 0;
  void operator+=(const Taste& other) { liked += other.liked, seen += other.seen; }
  bool operator==(const Taste&) const = default;
};
/// By value, of each column.
using Tastes = std::vector<std::map<std::string, Taste, std::less<>>>;

/// Counts what events say of a user's tastes. Immutable, for any thread.
class INTERPLAY_API TasteCounter {
 public:
  /// Throws Error at `at`, where the options were written.
  TasteCounter(const TasteOptions& options, const Config& at);

  const std::vector<std::string>& columns() const { return columns_; }  ///< cells that count() reads, in this order
  const std::vector<TasteColumn>& counted() const { return counted_; }
  /// Adds the events to `tastes`, one map a column.
  void count(std::span<const PartitionLog::Event> events, Tastes& tastes) const;

 private:
  ThresholdOptions like_;
  std::vector<TasteColumn> counted_;
  std::vector<TextPattern> without_;  // beside them; an empty pattern where there is none
  std::vector<std::string> columns_;  // that of `like` first, then theirs, each once
  std::vector<size_t> places_;        // of theirs, in columns_
};

/// "genre: loves Drama 18 of 20; dislikes Horror 1 of 6" and a line for each further column, of the values that came up
/// most; and back.
INTERPLAY_API std::string tell_tastes(const std::vector<TasteColumn>& columns, const Tastes& tastes, int64_t most);
INTERPLAY_API Tastes read_tastes(const std::vector<TasteColumn>& columns, std::string_view text);

}  // namespace interplay
