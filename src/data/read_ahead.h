#pragma once

#include <condition_variable>
#include <deque>
#include <exception>
#include <memory>
#include <mutex>
#include <thread>

#include <interplay/data/reader.h>

#include "data/row_values.h"

namespace interplay {

/// Runs a reader, and the parser of its rows, in a thread of its own, a few batches ahead. Batches and errors come out
/// in the reader's order; unusable rows are told to one BadRows from that one thread.
class ReadAhead {
 public:
  ReadAhead(std::shared_ptr<Reader> reader, const RowParser& parser, std::shared_ptr<BadRows> bad_rows);
  ~ReadAhead();
  ReadAhead(const ReadAhead&) = delete;
  ReadAhead& operator=(const ReadAhead&) = delete;

  bool next(RawBatch& batch, RowValues& values);  ///< false at the end; rethrows what the reader threw
  double share_done() const;                      ///< of the bytes; 0 where unknown

 private:
  void run();
  static constexpr size_t kAhead = 2;
  std::shared_ptr<Reader> reader_;
  const RowParser& parser_;
  std::shared_ptr<BadRows> bad_rows_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  struct Item {
    RawBatch batch;
    RowValues values;
    double share_done = 0;
  };
  std::deque<Item> ready_;
  std::exception_ptr error_;
  bool ended_ = false, stop_ = false;
  double share_done_ = 0;
  std::thread thread_;
};

}  // namespace interplay
