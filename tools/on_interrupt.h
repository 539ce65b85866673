#pragma once

#include <functional>
#include <thread>

namespace interplay::tool {

/// Calls `stop` on the first Ctrl-C or SIGTERM while it lives, from a thread that may do anything; a second Ctrl-C ends
/// the process. When it is gone, so is the thread. One at a time.
class OnInterrupt {
 public:
  explicit OnInterrupt(std::function<void()> stop);
  ~OnInterrupt();
  OnInterrupt(const OnInterrupt&) = delete;
  OnInterrupt& operator=(const OnInterrupt&) = delete;

 private:
  int read_end_ = -1, write_end_ = -1;
  std::thread thread_;
};

}  // namespace interplay::tool
