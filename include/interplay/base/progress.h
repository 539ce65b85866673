#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include <interplay/base/api.h>

namespace interplay {

/// Shows how far a long job is: a bar with rows/s and the time left on a terminal, a plain line every few seconds
/// elsewhere (always to standard error). The bar vanishes when the object does. Used by one thread.
///
///     Progress progress("prepare: count", total_rows);
///     for (...) progress.add(batch_rows);
class INTERPLAY_API Progress {
 public:
  /// `total` <= 0: unknown, so no bar and no time left. `unit` is what is counted, in the plural.
  explicit Progress(std::string title, int64_t total, std::string unit = "rows");
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  void add(int64_t count, const std::string& note = "");           ///< `note` is shown at the end of the line
  void skip(int64_t count) { done_ += count, skipped_ += count; }  ///< was done before: counts for no speed
  void total(int64_t total) { total_ = total; }
  double seconds() const;
  double per_second() const;
  void also(int64_t count, const std::string& unit);  ///< counted beside: its speed is shown too, unless it is 0

  static void enable(bool on);  ///< off: nothing is shown (`--quiet`, tests)

 private:
  void show(const std::string& note);
  std::string title_, unit_, other_unit_;
  int64_t total_, done_ = 0, skipped_ = 0, other_ = 0;
  std::chrono::steady_clock::time_point begun_, shown_;
  bool terminal_;
};

INTERPLAY_API std::string human_count(double value);      ///< 950, 2.7, 12.3 k, 4.56 M
INTERPLAY_API std::string human_bytes(double bytes);      ///< 950 B, 12.3 KB, 4.56 GB (powers of 1000)
INTERPLAY_API std::string human_seconds(double seconds);  ///< 0.31 s, 12.4 s, 3 min 20 s, 2 h 5 min

}  // namespace interplay
