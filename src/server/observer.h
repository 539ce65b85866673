#pragma once

#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>

#include "server/feedback.h"
#include "server/request_log.h"

namespace interplay::server {

/// A request that was answered, to be looked at once more.
struct Observed {
  std::string id;
  double time;                                     ///< seconds of the epoch
  std::shared_ptr<ServedVersion> version, shadow;  ///< who answered; who scores it too, or null
  std::shared_ptr<const RequestColumns> columns;   ///< what the cells were read as
  KeptCells cells;
  std::vector<float> p;
  bool logged, counted;  ///< whether it goes into the log, and its values are counted
};

/// Does what answers must not wait for, in a thread of its own: the log, the shadow's scores, counts of unknown values.
/// What comes faster than that is dropped and counted.
class Observer {
 public:
  Observer(Feedback& feedback, RequestLog* log);
  ~Observer();

  void offer(Observed request);
  bool has_room() const { return waiting_.load(std::memory_order_relaxed) < int64_t(kQueue); }
  void drop() { dropped_.fetch_add(1); }
  /// Whether a request of so many rows is to be counted: some thousand rows a second.
  bool counts(int64_t rows);
  int64_t dropped() const { return dropped_.load(); }

 private:
  static constexpr size_t kQueue = 256;  // requests
  static constexpr int64_t kCountedRows = 2000;

  void work();
  void look_at(const Observed& request);

  Feedback& feedback_;
  RequestLog* const log_;
  std::mutex mutex_;
  std::condition_variable woken_;
  std::deque<Observed> queue_;  // guarded by mutex_
  bool ending_ = false;
  std::atomic<int64_t> waiting_{0}, dropped_{0}, second_{0}, counted_{0};
  std::thread thread_;
};

}  // namespace interplay::server
