#include "server/request_log.h"

#include <chrono>
#include <ctime>

#include <fmt/chrono.h>

#include <interplay/base/error.h>
#include <interplay/base/log.h>

namespace interplay::server {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kAside = ".partial";

double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

/// Cut behind its last whole line, which a process that was killed may not have come to the end of.
void put_in_place(const fs::path& aside, const fs::path& target) {
  const std::string text = read_file(aside);
  const auto end = text.rfind('\n');
  if (end == std::string::npos) {
    fs::remove(aside);
    return;
  }
  fs::resize_file(aside, end + 1);
  sync_path(aside);
  fs::rename(aside, target);
}

}  // namespace

LineLog::LineLog(fs::path folder, std::string name, const Limits& limits)
    : folder_(std::move(folder)), name_(std::move(name)), limits_(limits) {
  for (const auto& entry : fs::directory_iterator(folder_)) {
    const std::string file = entry.path().filename().string();
    if (!file.starts_with("." + name_ + "-") || !file.ends_with(kAside)) continue;
    const std::string target = file.substr(1, file.size() - 1 - kAside.size());
    log::info("{}: a server that was killed left it; its whole lines are kept", (folder_ / target).string());
    put_in_place(entry.path(), folder_ / target);
  }
}

LineLog::~LineLog() {
  const std::lock_guard lock(mutex_);
  finish();
}

void LineLog::begin() {
  const std::time_t time = std::time(nullptr);
  do {
    target_ = folder_ / fmt::format("{}-{:%Y%m%dT%H%M%S}-{}.jsonl", name_, fmt::gmtime(time), files_++);
  } while (fs::exists(target_));
  out_ = std::make_unique<OutputFile>(folder_ / fmt::format(".{}{}", target_.filename().string(), kAside));
  begun_ = now();
}

void LineLog::finish() {
  if (!out_) return;
  try {
    const fs::path aside = out_->path();
    out_->sync();
    out_->close();
    fs::rename(aside, target_);
  } catch (const std::exception& error) {
    log::warning("{}", error.what());
  }
  out_.reset();
}

/// A disk that is full must not end a server: it is said once, and lines are left out until there is room.
void LineLog::write(std::string_view line) {
  const std::lock_guard lock(mutex_);
  try {
    if (!out_) begin();
    out_->write(fmt::format("{}\n", line));
    ++lines_;
    broken_ = false;
    if (out_->size() >= limits_.bytes || now() - begun_ >= limits_.seconds) finish();
  } catch (const Error& error) {
    if (!broken_) log::warning("{}; lines are left out", error.what());
    broken_ = true;
  }
}

void LineLog::rest() {
  const std::lock_guard lock(mutex_);
  if (out_ && now() - begun_ >= limits_.seconds) finish();
}

int64_t LineLog::lines() const {
  const std::lock_guard lock(mutex_);
  return lines_;
}

RequestLog::RequestLog(const fs::path& folder, const LineLog::Limits& limits)
    : lock(folder), requests(folder, "requests", limits), labels(folder, "labels", limits) {}

}  // namespace interplay::server
