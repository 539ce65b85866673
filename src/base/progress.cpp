#include <interplay/base/progress.h>

#include <atomic>
#include <cmath>
#include <cstdio>

#include <fmt/format.h>
#include <unistd.h>

#include <interplay/base/log.h>

#include "progress_line.h"

namespace interplay {
namespace {

std::atomic<bool> enabled{true};
std::atomic<bool> line_shown{false};
constexpr double kTerminalEvery = 0.2, kPlainEvery = 10.0;  // seconds

}  // namespace

namespace detail {

void clear_progress_line() {
  if (line_shown.exchange(false)) std::fputs("\r\033[K", stderr);
}

}  // namespace detail

Progress::Progress(std::string title, int64_t total, std::string unit)
    : title_(std::move(title)),
      unit_(std::move(unit)),
      total_(total),
      begun_(std::chrono::steady_clock::now()),
      shown_(begun_),
      terminal_(::isatty(STDERR_FILENO) != 0) {}

Progress::~Progress() { detail::clear_progress_line(); }

void Progress::enable(bool on) { enabled = on; }

double Progress::seconds() const {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begun_).count();
}

double Progress::per_second() const {
  const double s = seconds();
  return s > 0 ? double(done_ - skipped_) / s : 0;
}

void Progress::also(int64_t count, const std::string& unit) {
  other_ += count;
  other_unit_ = unit;
}

void Progress::add(int64_t count, const std::string& note) {
  done_ += count;
  if (!enabled) return;
  const auto now = std::chrono::steady_clock::now();
  if (std::chrono::duration<double>(now - shown_).count() < (terminal_ ? kTerminalEvery : kPlainEvery)) return;
  shown_ = now;
  show(note);
}

void Progress::show(const std::string& note) {
  std::string line = title_;
  if (total_ > 0) {
    const double share = std::min(1.0, double(done_) / double(total_));
    if (terminal_) {
      constexpr int kWidth = 24;
      const int filled = int(share * kWidth);
      line += fmt::format(" [{}{}]", std::string(filled, '#'), std::string(kWidth - filled, '.'));
    }
    line += fmt::format(" {:3.0f}%", 100 * share);
  }
  line += fmt::format("  {} {}  {} {}/s", human_count(double(done_)), unit_, human_count(per_second()), unit_);
  if (other_ > 0) line += fmt::format("  {} {}/s", human_count(double(other_) / seconds()), other_unit_);
  if (total_ > 0 && per_second() > 0) {
    line += fmt::format("  {} left", human_seconds(std::max(0.0, double(total_ - done_) / per_second())));
  }
  if (!note.empty()) line += "  " + note;
  if (terminal_) {
    std::fprintf(stderr, "\r\033[K%s", line.c_str());
    std::fflush(stderr);
    line_shown = true;
  } else {
    log::info("{}", line);
  }
}

std::string human_count(double value) {
  if (value < 99.95 && value != std::floor(value)) return fmt::format("{:.1f}", value);
  if (value < 9999.5) return fmt::format("{:.0f}", value);
  if (value < 999.5e3) return fmt::format("{:.1f} k", value / 1e3);
  if (value < 999.5e6) return fmt::format("{:.2f} M", value / 1e6);
  return fmt::format("{:.2f} G", value / 1e9);
}

std::string human_bytes(double bytes) {
  if (bytes < 1000) return fmt::format("{:.0f} B", bytes);
  if (bytes < 1e6) return fmt::format("{:.1f} KB", bytes / 1e3);
  if (bytes < 1e9) return fmt::format("{:.1f} MB", bytes / 1e6);
  return fmt::format("{:.2f} GB", bytes / 1e9);
}

std::string human_seconds(double seconds) {
  if (seconds < 10) return fmt::format("{:.2f} s", seconds);
  if (seconds < 100) return fmt::format("{:.1f} s", seconds);
  const auto whole = int64_t(std::llround(seconds));
  if (whole < 3600) return fmt::format("{} min {} s", whole / 60, whole % 60);
  return fmt::format("{} h {} min", whole / 3600, whole % 3600 / 60);
}

}  // namespace interplay
