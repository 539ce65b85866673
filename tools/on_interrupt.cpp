#include "on_interrupt.h"

#include <atomic>
#include <cerrno>
#include <csignal>
#include <utility>

#include <unistd.h>

#include <interplay/base/log.h>

namespace interplay::tool {
namespace {

std::atomic<int> wake = -1;                            // where a signal is told; -1: nobody listens
static_assert(std::atomic<int>::is_always_lock_free);  // a signal handler reads it

void on_signal(int signal) {
  const int error = errno;
  std::signal(signal, SIG_DFL);  // the next one ends the process
  const char byte = 1;
  if (const int end = wake; end >= 0) [[maybe_unused]]
    const auto written = ::write(end, &byte, 1);
  errno = error;
}

bool read_byte(int end, char& byte) {
  ssize_t count = 0;
  do count = ::read(end, &byte, 1);
  while (count < 0 && errno == EINTR);
  return count == 1;
}

}  // namespace

OnInterrupt::OnInterrupt(std::function<void()> stop, std::string told) {
  int ends[2];
  if (::pipe(ends) != 0) return;
  read_end_ = ends[0], write_end_ = ends[1];
  thread_ = std::thread([end = read_end_, stop = std::move(stop), told = std::move(told)] {
    char byte = 0;
    if (!read_byte(end, byte) || byte == 0) return;
    log::info("{}", told);
    stop();
  });
  wake = write_end_;
  std::signal(SIGINT, on_signal);
  std::signal(SIGTERM, on_signal);
}

OnInterrupt::~OnInterrupt() {
  if (write_end_ < 0) return;
  std::signal(SIGINT, SIG_DFL);
  std::signal(SIGTERM, SIG_DFL);
  wake = -1;
  const char end = 0;
  [[maybe_unused]] const auto written = ::write(write_end_, &end, 1);
  thread_.join();
  ::close(write_end_);
  ::close(read_end_);
}

}  // namespace interplay::tool
