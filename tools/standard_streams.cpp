#include "standard_streams.h"

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <iostream>

#include <fcntl.h>
#include <unistd.h>

#include <interplay/base/error.h>

namespace interplay::tool {

void open_standard_streams() {
  std::signal(SIGXFSZ, SIG_IGN);
  for (const int descriptor : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (::fcntl(descriptor, F_GETFD) >= 0) continue;
    // Read-only where the results go: they cannot be written, and that has to show.
    [[maybe_unused]] const int opened = ::open("/dev/null", descriptor == STDERR_FILENO ? O_RDWR : O_RDONLY);
  }
}

int failed_standard_output(int error) {
  constexpr int kBrokenPipe = 128 + SIGPIPE;
  if (error == EPIPE) return kBrokenPipe;
  throw Error(fmt::format("standard output cannot be written{}{}; the results are lost", error == 0 ? "" : ": ",
                          error == 0 ? "" : std::strerror(error)),
              ErrorKind::data);
}

int finish_standard_output() {
  errno = 0;
  std::cout.flush();
  const bool failed = std::fflush(stdout) != 0 || std::ferror(stdout) || !std::cout.good();
  return failed ? failed_standard_output(errno) : 0;
}

}  // namespace interplay::tool
