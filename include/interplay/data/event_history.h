#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include <interplay/data/raw_batch.h>
#include <interplay/data/schema.h>

namespace interplay {

class BadRows;

/// Gives raw rows the histories that they do not carry, from files of past events: for every field made of them, the
/// row's user's last events before the row's time, as prepare() derives them (its `ties` holds here too).
///
///     EventHistory history(scorer.schema());
///     history.add_events({"events.inter"});
///     for (each batch of rows) history.add_rows(batch);
///     history.finish();
///     for (each batch, in the same order) history.append(batch);    // now scorer.score(batch) has all it needs
///
/// Rows are nobody's past: they are seen by no other row. One thread uses it.
class INTERPLAY_API EventHistory {
 public:
  /// Throws Error(config) where no field of the schema is a history.
  explicit EventHistory(const Schema& schema);
  ~EventHistory();
  EventHistory(const EventHistory&) = delete;
  EventHistory& operator=(const EventHistory&) = delete;

  /// Files in the format of the training data, with the columns user, item and time of the history and those of its
  /// filter and side columns. Throws Error(data), or tells `bad_rows`, naming file, line, column and value.
  void add_events(const std::vector<std::filesystem::path>& files, std::shared_ptr<BadRows> bad_rows = nullptr);
  /// Need the history's user, item and time; a row without a time is bad.
  void add_rows(const RawBatch& rows, BadRows* bad_rows = nullptr);
  void finish();                ///< after the last row
  void append(RawBatch& rows);  ///< adds the list columns that the Encoder reads, and takes out the bad rows
  std::vector<std::string> row_columns() const;
  /// The columns that append() makes for a schema; none where no field is made of the past.
  static std::vector<std::string> lists(const Schema& schema);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace interplay
