#pragma once

#include <filesystem>
#include <string_view>

#include <fmt/format.h>

#include <interplay/base/api.h>

/// The library's voice. It never writes to standard output: lines go to standard error and, while a run is open, to
/// its `train.log`. Thread-safe.
namespace interplay::log {

enum class Level { debug, info, warning, error, off };

INTERPLAY_API void write(Level level, std::string_view line);
INTERPLAY_API void record(std::string_view line);  ///< to log files alone: a result, which the program prints itself
INTERPLAY_API void set_level(Level level);         ///< for standard error; a log file always gets info and above

/// While it lives, every line is appended to `file` too. The one opened last has to go first.
class INTERPLAY_API File {
 public:
  explicit File(const std::filesystem::path& file);
  ~File();
  File(const File&) = delete;
  File& operator=(const File&) = delete;
};

template <class... T>
void debug(fmt::format_string<T...> text, T&&... values) {
  write(Level::debug, fmt::format(text, std::forward<T>(values)...));
}
template <class... T>
void info(fmt::format_string<T...> text, T&&... values) {
  write(Level::info, fmt::format(text, std::forward<T>(values)...));
}
template <class... T>
void warning(fmt::format_string<T...> text, T&&... values) {
  write(Level::warning, fmt::format(text, std::forward<T>(values)...));
}

}  // namespace interplay::log
