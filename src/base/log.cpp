#include <interplay/base/log.h>

#include <algorithm>
#include <mutex>
#include <vector>

#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>

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

struct Sinks {
  std::mutex mutex;
  std::shared_ptr<spdlog::sinks::stderr_color_sink_mt> terminal =
      std::make_shared<spdlog::sinks::stderr_color_sink_mt>();
  std::vector<std::shared_ptr<spdlog::sinks::basic_file_sink_mt>> files;  // the last one was opened last
  Sinks() {
    terminal->set_pattern("%^%H:%M:%S%$ %v");
    terminal->set_level(spdlog::level::info);
  }
};

Sinks& sinks() {  // leaked: lines may still come while the process ends
  static auto* const instance = new Sinks;
  return *instance;
}

void to_files(Sinks& all, const spdlog::details::log_msg& message) {
  for (const auto& file : all.files) {
    if (!file->should_log(message.level)) continue;
    file->log(message);
    file->flush();
  }
}

}  // namespace

void write(Level level, std::string_view line) {
  Sinks& all = sinks();
  const std::lock_guard lock(all.mutex);
  const std::string text = printable(level == Level::warning ? fmt::format("warning: {}", line) : std::string(line));
  const spdlog::details::log_msg message("interplay", convert(level), text);
  if (all.terminal->should_log(message.level)) {
    detail::clear_progress_line();
    all.terminal->log(message);
    all.terminal->flush();
  }
  to_files(all, message);
}

void record(std::string_view line) {
  Sinks& all = sinks();
  const std::lock_guard lock(all.mutex);
  to_files(all, {"interplay", spdlog::level::info, spdlog::string_view_t(line.data(), line.size())});
}

void set_level(Level level) { sinks().terminal->set_level(convert(level)); }

File::File(const std::filesystem::path& file) {
  auto sink = std::make_shared<spdlog::sinks::basic_file_sink_mt>(file.string(), false);
  sink->set_pattern("%Y-%m-%d %H:%M:%S %v");
  sink->set_level(spdlog::level::info);
  const std::lock_guard lock(sinks().mutex);
  sinks().files.push_back(std::move(sink));
}

File::~File() {
  const std::lock_guard lock(sinks().mutex);
  sinks().files.pop_back();
}

}  // namespace interplay::log
