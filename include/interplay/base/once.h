#pragma once

#include <atomic>
#include <mutex>

namespace interplay {

/// What is done once, by the thread that comes first, while others wait; where it throws, the next one tries again. As
/// std::call_once, behind whose exceptions some systems hang for ever (and the thread sanitizer does).
class Once {
 public:
  template <class Call>
  void operator()(const Call& call) {
    if (done_.load(std::memory_order_acquire)) return;
    const std::lock_guard lock(mutex_);
    if (done_.load(std::memory_order_relaxed)) return;
    call();
    done_.store(true, std::memory_order_release);
  }

 private:
  std::atomic<bool> done_ = false;
  std::mutex mutex_;
};

}  // namespace interplay
