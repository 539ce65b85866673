#pragma once

#include <condition_variable>
#include <cstdint>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

namespace interplay {

/// Lets items pass one at a time, in the order of their numbers, until one fails.
class Turnstile {
 public:
  bool wait(int64_t number);              ///< for the item's turn; false: an item failed, there will be none
  void pass();                            ///< the present item is through
  void fail(std::exception_ptr problem);  ///< nobody passes any more; the first problem counts
  void rethrow() const;                   ///< the problem, once no thread is left

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  int64_t turn_ = 0;
  std::exception_ptr problem_;
};

/// Takes items through four stages on `threads` threads, each of which has one item in hand:
///
///     bool read(Item&)     one at a time, in order; false at the end
///     void work(Item&)     any number at once
///     void commit(Item&)   one at a time, in the order of reading
///     void finish(Item&)   any number at once
///
/// What is committed, and which of the first three stages' exceptions comes out, does not depend on the threads.
template <class Item, class Stages>
void run_in_order(int threads, Stages&& stages) {
  std::mutex reading;
  int64_t read = 0;
  bool ended = false;
  Turnstile turnstile;
  const auto take_items = [&] {
    for (;;) {
      Item item;
      int64_t number = 0;
      bool there = false;
      std::exception_ptr problem;
      {
        const std::lock_guard lock(reading);
        if (ended) return;
        number = read++;
        try {
          there = stages.read(item);
        } catch (...) {
          problem = std::current_exception();
        }
        ended = !there;
      }
      if (there) {
        try {
          stages.work(item);
        } catch (...) {
          problem = std::current_exception();
        }
      }
      if (!turnstile.wait(number)) return;
      try {
        if (problem) std::rethrow_exception(problem);
        if (there) stages.commit(item);
        turnstile.pass();
        if (!there) return;
        stages.finish(item);
      } catch (...) {
        turnstile.fail(std::current_exception());
        return;
      }
    }
  };
  std::vector<std::thread> others;
  for (int t = 1; t < threads; ++t) others.emplace_back(take_items);
  take_items();
  for (auto& other : others) other.join();
  turnstile.rethrow();
}

/// Calls work(0) ... work(n - 1), each once, on up to `threads` threads; rethrows what one of them threw.
template <class Work>
void run_each(int threads, int64_t n, Work&& work) {
  struct Stages {
    int64_t next, n;
    Work& call;
    bool read(int64_t& item) { return item = next++, item < n; }
    void work(int64_t) {}
    void commit(int64_t) {}
    void finish(int64_t item) { call(item); }
  };
  run_in_order<int64_t>(int(std::min<int64_t>(threads, n)), Stages{0, n, work});
}

}  // namespace interplay
