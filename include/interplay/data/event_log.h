#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <interplay/base/api.h>
#include <interplay/base/config.h>

namespace interplay {

/// What a data.yaml says, as text: all events, which of them are samples of which split, and what came before each. For
/// systems that read words. Samples are numbered as the rows that prepare() writes, so that their scores can be laid
/// beside those of a model trained on these.
///
///     const auto log = EventLog::read(Config::load("data.yaml"), {"title", "rating"}, "hist_movie_ids");
///     for (const uint32_t event : log.samples("test"))
///       for (const uint32_t past : log.history(event)) log.cell("title", past);
///
/// In memory: four bytes an event and column, and four for its place in a history. Immutable, for any thread.
class INTERPLAY_API EventLog {
 public:
  /// `columns`: names of categorical fields, whose cells are their tokens (the first of several, where the field says
  /// so), or else of raw columns. `history`: a field of kind history; its max_length holds here too. Throws
  /// Error(config) for names that are neither, Error(data) as prepare() does, with up to `bad_rows` of them left out.
  /// `threads` 0: one a core.
  static EventLog read(const Config& data, const std::vector<std::string>& columns, const std::string& history,
                       int threads = 0, int64_t bad_rows = 0);

  /// The raw column of what a history remembers. Throws Error(config) where there is no such history.
  static std::string item_column(const Config& data, const std::string& history);

  int64_t events() const;
  /// Throws Error(config) unless it was asked for.
  size_t column(std::string_view name) const;
  std::string_view cell(size_t column, uint32_t event) const {
    return token(column, code(column, event));
  }  ///< "": missing
  /// Cells as numbers 0 .. tokens(column) - 1 in the order of the events; equal cells have equal numbers.
  uint32_t code(size_t column, uint32_t event) const;
  int64_t tokens(size_t column) const;
  std::string_view token(size_t column, uint32_t code) const;
  float label(uint32_t event) const;  ///< the first label

  /// Events that are samples of train, valid or test: the i-th is the i-th row of the prepared split.
  std::span<const uint32_t> samples(std::string_view split) const;
  /// What is remembered at an event, oldest first.
  std::span<const uint32_t> history(uint32_t event) const;
  /// The events that any history can remember: those of each user, oldest first, one user after another.
  std::vector<std::span<const uint32_t>> timelines() const;
  /// Of all that is remembered here: equal for equal files and equal configs. 64 bits.
  uint64_t checksum() const;

 private:
  struct State;
  std::shared_ptr<const State> state_;
};

}  // namespace interplay
