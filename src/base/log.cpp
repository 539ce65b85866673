#include <interplay/base/log.h>

#include <algorithm>
#include <mutex>
#include <vector>

#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>

#include <interplay/base/error.h>
#include <interplay/base/files.h>
#include <interplay/base/printable.h>

#include "progress_line.h"

namespace interplay::log {
namespace {

spdlog::level::level_enum convert(Level level) {
  switch (level) {
    case Level::debug: return spdlog::level::debug;
    case Level::info: return spdlog::level::info;
    case Level::warning: return spdlog::level::warn;
    case Level::error: return spdlog::level::err;
    case Level::off: return spdlog::level::off;
  }
  return spdlog::level::info;
}

struct LogFile {
  explicit LogFile(const std::filesystem::path& file) : out(file, OutputFile::Mode::append) {}
  OutputFile out;
  spdlog::pattern_formatter formatter{"%Y-%m-%d %H:%M:%S %v"};
  bool broken = false;
};

struct Sinks {
  std::mutex mutex;
  std::shared_ptr<spdlog::sinks::stderr_color_sink_mt> terminal =
      std::make_shared<spdlog::sinks::stderr_color_sink_mt>();
  std::vector<std::unique_ptr<LogFile>> files;  // the last one was opened last
  Sinks() {
    terminal->set_pattern("%^%H:%M:%S%$ %v");
    terminal->set_level(spdlog::level::info);
  }
};

Sinks& sinks() {  // leaked: lines may still come while the process ends
  static auto* const instance = new Sinks;
  return *instance;
}

void to_terminal(Sinks& all, const spdlog::details::log_msg& message) {
  if (!all.terminal->should_log(message.level)) return;
  detail::clear_progress_line();
  all.terminal->log(message);
  all.terminal->flush();
}

/// What is logged is told on the terminal too: a log that cannot be written is no reason to end the work, and is left
/// where it is.
void to_files(Sinks& all, const spdlog::details::log_msg& message) {
  if (message.level < spdlog::level::info) return;
  for (const auto& file : all.files) {
    if (file->broken) continue;
    try {
      spdlog::memory_buf_t line;
      file->formatter.format(message, line);
      file->out.write({line.data(), line.size()});
    } catch (const Error& problem) {
      file->broken = true;
      const std::string text = fmt::format("warning: {}; the log ends here", problem.what());
      to_terminal(all, {"interplay", spdlog::level::warn, text});
    }
  }
}

}  // namespace

void write(Level level, std::string_view line) {
  Sinks& all = sinks();
  const std::lock_guard lock(all.mutex);
  const std::string text = printable(level == Level::warning ? fmt::format("warning: {}", line) : std::string(line));
  const spdlog::details::log_msg message("interplay", convert(level), text);
  to_terminal(all, message);
  to_files(all, message);
}

void record(std::string_view line) {
  Sinks& all = sinks();
  const std::lock_guard lock(all.mutex);
  to_files(all, {"interplay", spdlog::level::info, spdlog::string_view_t(line.data(), line.size())});
}

void set_level(Level level) { sinks().terminal->set_level(convert(level)); }

File::File(const std::filesystem::path& file) {
  auto opened = std::make_unique<LogFile>(file);
  const std::lock_guard lock(sinks().mutex);
  sinks().files.push_back(std::move(opened));
}

File::~File() {
  const std::lock_guard lock(sinks().mutex);
  sinks().files.pop_back();
}

}  // namespace interplay::log
