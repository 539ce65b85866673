#pragma once

#include <stdexcept>
#include <string>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <interplay/base/api.h>

namespace interplay {

/// What kind of mistake an Error reports. The program's exit status follows from it.
enum class ErrorKind {
  config,       ///< usage, configuration, a name that does not exist: exit status 2
  data,         ///< input data or files: exit status 3
  numeric,      ///< NaN or Inf where a number was needed: exit status 4
  interrupted,  ///< stopped on request after saving: exit status 130
};

/// Everything a user can cause. The message names the place, what was found, what was expected and what to do.
/// Mistakes of our own abort through INTERPLAY_ASSERT instead.
class INTERPLAY_API Error : public std::runtime_error {
 public:
  explicit Error(const std::string& message, ErrorKind kind = ErrorKind::config);
  ~Error() override;

  ErrorKind kind() const noexcept { return kind_; }
  int exit_status() const noexcept;

 private:
  ErrorKind kind_;
};

[[noreturn]] INTERPLAY_API void assertion_failed(const char* condition, const char* file, int line);

}  // namespace interplay

/// Throws Error(kind config) with a formatted message unless `condition` holds.
#define INTERPLAY_CHECK(condition, ...)   \
  (static_cast<bool>(condition) ? void(0) \
                                : throw ::interplay::Error(fmt::format(__VA_ARGS__), ::interplay::ErrorKind::config))

/// As INTERPLAY_CHECK, for input data and files (kind data).
#define INTERPLAY_CHECK_DATA(condition, ...) \
  (static_cast<bool>(condition) ? void(0)    \
                                : throw ::interplay::Error(fmt::format(__VA_ARGS__), ::interplay::ErrorKind::data))

/// Aborts, naming the place, unless `condition` holds: for what only a mistake in Interplay itself can break.
#define INTERPLAY_ASSERT(condition) \
  (static_cast<bool>(condition) ? void(0) : ::interplay::assertion_failed(#condition, __FILE__, __LINE__))
