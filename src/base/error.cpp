#include <interplay/base/error.h>

#include <cstdio>
#include <cstdlib>

#include <interplay/base/printable.h>

namespace interplay {

Error::Error(const std::string& message, ErrorKind kind) : std::runtime_error(printable(message)), kind_(kind) {}

Error::~Error() = default;

int Error::exit_status() const noexcept {
  switch (kind_) {
    case ErrorKind::config: return 2;
    case ErrorKind::data: return 3;
    case ErrorKind::numeric: return 4;
    case ErrorKind::interrupted: return 130;
  }
  return 1;
}

void assertion_failed(const char* condition, const char* file, int line) {
  std::fprintf(stderr, "interplay: internal error at %s:%d: %s does not hold\n", file, line, condition);
  std::abort();
}

}  // namespace interplay
