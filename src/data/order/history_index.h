#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include <interplay/data/raw_batch.h>

#include "data/order/event_order.h"
#include "data/spec/data_spec.h"
#include "data/spec/row_parser.h"

namespace interplay {

/// Lists of past events, as of a field of kind history: for each row, its user's last max_length events that lie
/// strictly earlier and pass the filter, oldest first, those of one time by item id as a number. Earlier is by time;
/// with `ties: order`, by time and then item. First every row of every split goes through add(), in order; after
/// finish() append() gives batches the columns that the encoder reads.
class HistoryIndex {
 public:
  HistoryIndex(const PastEvents& wanted, RowParser& parser);  ///< tells the parser which cells must be numbers

  std::vector<std::string> columns() const;      ///< raw columns that add() reads
  std::vector<std::string> row_columns() const;  ///< ... and that ask() reads
  void add(const RawBatch& raw, const RowValues& values, const RowParser& parser);
  /// Rows that want a history but belong to nobody's: all of a batch, counted as those of add() are. One without a time
  /// is told to `bad_rows` and marked in `bad`, [raw rows].
  void ask(const RawBatch& raw, const RowParser& parser, BadRows& bad_rows, std::vector<uint8_t>& bad);
  void finish();
  void keep_events() { keeps_events_ = true; }  ///< before finish(): events() will be asked for
  /// The rows whose items are a row's history, oldest first.
  std::span<const uint32_t> events(int64_t row) const {
    return {events_.data() + (end_[size_t(row)] - length_[size_t(row)]), length_[size_t(row)]};
  }
  /// The events of each user that has any, oldest first, where they are kept.
  std::vector<std::span<const uint32_t>> timelines() const;
  const std::string& name() const { return options_.name; }
  /// Whether a row has fewer events before it than its history needs (min_length), whatever max_length keeps of them.
  bool too_short(int64_t row) const { return !too_short_.empty() && too_short_[size_t(row)]; }
  /// Rows with an event of their own time in their history, which `ties: order` lets in.
  int64_t rows_with_own_time() const { return rows_with_own_time_; }
  /// Adds the list columns to a batch whose usable rows are `rows`; the first of them is row `first` of all.
  void append(RawBatch& raw, std::span<const int32_t> rows, int64_t first) const;

 private:
  struct Side {
    std::string column, name;
    TokenIndex tokens;
    std::vector<uint32_t> of_row;      // until finish()
    std::vector<uint32_t> remembered;  // beside items_
  };
  RawColumn list_column(const std::string& name, const TokenIndex& tokens, const std::vector<uint32_t>& remembered,
                        const RawBatch& raw, std::span<const int32_t> rows, int64_t first) const;

  PastEvents options_;
  size_t time_at_, filter_at_ = 0;  // places in RowValues::required
  TokenIndex users_;
  EventOrder order_{1};          // its tie is the item
  std::vector<uint8_t> passes_;  // until finish()
  std::vector<Side> sides_;
  std::vector<uint32_t> items_;   // remembered events, by user and time
  std::vector<uint32_t> events_;  // beside items_: their rows, where they are kept
  bool keeps_events_ = false;
  std::vector<uint64_t> users_end_;  // of each user's, likewise
  std::vector<uint64_t> end_;        // beside the rows: its history is items_[end - length, end)
  std::vector<uint32_t> length_;
  int64_t rows_with_own_time_ = 0;
  std::vector<bool> too_short_;  // beside the rows, where there is a min_length
};

}  // namespace interplay
