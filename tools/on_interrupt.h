#pragma once

#include <functional>
#include <string>
#include <thread>

namespace interplay::tool {

/// Calls `stop`, and logs `told`, on the first Ctrl-C or SIGTERM while it lives, from a thread that may do anything; a
/// second Ctrl-C ends the process. When it is gone, so is the thread. One at a time.
class OnInterrupt {
 public:
  explicit OnInterrupt(std::function<void()> stop, std::string told =
                                                       "stopping after this step; a checkpoint will be "
                                                       "written (Ctrl-C again ends at once)");
  ~OnInterrupt();
  OnInterrupt(const OnInterrupt&) = delete;
  OnInterrupt& operator=(const OnInterrupt&) = delete;

 private:
  int read_end_ = -1, write_end_ = -1;
  std::thread thread_;
};

}  // namespace interplay::tool
