#include "server/observer.h"

#include <chrono>

#include <fmt/format.h>

#include <interplay/base/log.h>

#include "server/json_out.h"

namespace interplay::server {
namespace {

/// The entries of a cell that holds several, as an array: which separator a reader takes does not matter then.
void append_entries(std::string& out, std::string_view cell, std::string_view separator) {
  out += '[';
  for (size_t begin = 0; !cell.empty() && begin <= cell.size();) {
    const size_t end = std::min(cell.find(separator, begin), cell.size());
    if (begin > 0) out += ',';
    append_string(out, cell.substr(begin, end - begin));
    begin = end + separator.size();
  }
  out += ']';
}

/// A row as `interplay prepare` reads it (format: jsonl): its raw cells, and who said what of it.
std::string log_line(const Observed& request, int64_t row) {
  std::string out = "{\"_id\":";
  append_string(out, fmt::format("{}#{}", request.id, row));
  out += fmt::format(",\"_time\":{:.3f},\"_model\":", request.time);
  append_string(out, request.version->model());
  out += ",\"_version\":";
  append_string(out, request.version->version());
  const auto& names = request.version->outputs();
  for (size_t t = 0; t < names.size(); ++t) {
    out += ',';
    append_string(out, "_" + names[t]);
    out += ':';
    append_number(out, request.p[size_t(row) * names.size() + t]);
  }
  for (size_t c = 0; c < request.columns->names.size(); ++c) {
    if (!request.cells.given(c)) continue;
    out += ',';
    append_string(out, request.columns->names[c]);
    out += ':';
    const std::string_view cell = request.cells.cell(c, row);
    const std::string& separator = request.columns->separators[c];
    separator.empty() ? append_string(out, cell) : append_entries(out, cell, separator);
  }
  return out + "}";
}

}  // namespace

Observer::Observer(Feedback& feedback, RequestLog* log) : feedback_(feedback), log_(log), thread_([this] { work(); }) {}

Observer::~Observer() {
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
  }
  woken_.notify_one();
  thread_.join();
}

void Observer::offer(Observed request) {
  {
    const std::lock_guard lock(mutex_);
    queue_.push_back(std::move(request));
    waiting_.store(int64_t(queue_.size()), std::memory_order_relaxed);
  }
  woken_.notify_one();
}

bool Observer::counts(int64_t rows) {
  const int64_t second = std::chrono::steady_clock::now().time_since_epoch() / std::chrono::seconds(1);
  if (second_.exchange(second, std::memory_order_relaxed) != second) counted_.store(0, std::memory_order_relaxed);
  return counted_.fetch_add(rows, std::memory_order_relaxed) < kCountedRows;
}

void Observer::work() {
  std::unique_lock lock(mutex_);
  while (true) {
    woken_.wait_for(lock, std::chrono::seconds(1), [this] { return ending_ || !queue_.empty(); });
    if (queue_.empty()) {
      if (ending_) return;  // all that was taken is looked at first
      lock.unlock();
      if (log_) log_->requests.rest(), log_->labels.rest();
      lock.lock();
      continue;
    }
    const Observed request = std::move(queue_.front());
    queue_.pop_front();
    waiting_.store(int64_t(queue_.size()), std::memory_order_relaxed);
    lock.unlock();
    try {
      look_at(request);
    } catch (const std::exception& error) {
      log::debug("a request was answered, but not looked at again: {}", error.what());
    }
    lock.lock();
  }
}

void Observer::look_at(const Observed& request) {
  for (int64_t row = 0; request.logged && log_ && row < request.cells.rows(); ++row)
    log_->requests.write(log_line(request, row));
  if (request.shadow) {
    VersionStats& stats = request.shadow->stats();
    try {
      const auto p = request.shadow->score(request.cells, *request.columns);
      if (p.size() == request.p.size()) {
        stats.compare(request.p, p);
        if (!request.id.empty()) feedback_.remember_shadow(request.id, request.shadow, p);
      }
    } catch (const std::exception&) {
      stats.failed.fetch_add(1);
    }
  }
  if (request.counted) request.version->count_values(request.cells, *request.columns);
}

}  // namespace interplay::server
