#pragma once

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <filesystem>
#include <functional>
#include <string>

#include <gtest/gtest.h>

#include <interplay/base/error.h>
#include <interplay/base/file_calls.h>

namespace interplay::testing {

/// While it lives, the `nth` call (from 1 on) that changes a file fails with `error`, and all after it where `for_good`
/// says that what is wrong stays wrong. 0: none fails; they are only counted.
class FailingCalls {
 public:
  FailingCalls(int64_t nth, int error, bool for_good = false) : before_(detail::file_calls()) {
    count_ = 0, nth_ = nth, error_ = error, for_good_ = for_good, real_ = before_;
    detail::file_calls() = {
        [](const char* path, int flags, mode_t mode) { return fails() ? -1 : real_.open(path, flags, mode); },
        [](int d, const void* bytes, size_t count) { return fails() ? -1 : real_.write(d, bytes, count); },
        [](int d, const void* bytes, size_t count, off_t at) {
          return fails() ? -1 : real_.pwrite(d, bytes, count, at);
        },
        [](int d) { return fails() ? -1 : real_.fsync(d); },
        [](const char* from, const char* to, unsigned flags) { return fails() ? -1 : real_.rename(from, to, flags); }};
  }
  ~FailingCalls() { detail::file_calls() = before_; }
  FailingCalls(const FailingCalls&) = delete;
  FailingCalls& operator=(const FailingCalls&) = delete;
  int64_t calls() const { return count_; }

 private:
  static bool fails() {
    const int64_t now = ++count_;
    const bool bad = nth_ > 0 && (now == nth_ || (for_good_ && now > nth_));
    if (bad) errno = error_;
    return bad;
  }
  static inline std::atomic<int64_t> count_{0};
  static inline std::atomic<int64_t> nth_{0};
  static inline std::atomic<int> error_{0};
  static inline std::atomic<bool> for_good_{false};
  static inline detail::FileCalls real_{};
  detail::FileCalls before_;
};

/// While it lives, a write takes three bytes at most, and every other one is interrupted.
class ShortWrites {
 public:
  ShortWrites() : before_(detail::file_calls()) {
    real_ = before_;
    detail::file_calls().write = [](int d, const void* bytes, size_t count) {
      return interrupted() ? ssize_t(-1) : real_.write(d, bytes, std::min<size_t>(count, 3));
    };
    detail::file_calls().pwrite = [](int d, const void* bytes, size_t count, off_t at) {
      return interrupted() ? ssize_t(-1) : real_.pwrite(d, bytes, std::min<size_t>(count, 3), at);
    };
    detail::file_calls().fsync = [](int d) { return interrupted() ? -1 : real_.fsync(d); };
    detail::file_calls().open = [](const char* path, int flags, mode_t mode) {
      return interrupted() ? -1 : real_.open(path, flags, mode);
    };
  }
  ~ShortWrites() { detail::file_calls() = before_; }
  ShortWrites(const ShortWrites&) = delete;
  ShortWrites& operator=(const ShortWrites&) = delete;

 private:
  static bool interrupted() {
    const bool now = count_++ % 2 == 0;
    if (now) errno = EINTR;
    return now;
  }
  static inline std::atomic<int64_t> count_{0};
  static inline detail::FileCalls real_{};
  detail::FileCalls before_;
};

/// Runs `action` once for each call in it that changes a file (at most about `most` of them, evenly spread), with that
/// call failing; `prepare` comes before and `expect` after each. The action has to end in an Error about data that
/// names something under `directory` (a message without a name helps nobody), or without one where it can do without
/// that call.
inline void expect_every_failure_is_told(const std::filesystem::path& directory, const std::function<void()>& prepare,
                                         const std::function<void()>& action,
                                         const std::function<void(bool failed)>& expect, int64_t most = 1000) {
  prepare();
  int64_t calls = 0;
  {
    const FailingCalls count(0, 0);
    action();
    calls = count.calls();
  }
  ASSERT_GT(calls, 0);
  const int errors[] = {ENOSPC, EIO, EFBIG, EDQUOT};
  for (int64_t nth = 1; nth <= calls; nth += std::max<int64_t>(1, calls / most)) {
    SCOPED_TRACE("call " + std::to_string(nth) + " of " + std::to_string(calls));
    prepare();
    bool failed = false;
    try {
      const FailingCalls failing(nth, errors[nth % 4], nth % 2 == 0);
      action();
    } catch (const Error& problem) {
      failed = true;
      EXPECT_EQ(problem.kind(), ErrorKind::data) << problem.what();
      const std::string what = problem.what();
      EXPECT_NE(what.find(directory.filename().string()), std::string::npos) << what;
      EXPECT_EQ(what.find(".partial"), std::string::npos) << what;
    }
    expect(failed);
    if (::testing::Test::HasFailure()) return;
  }
}

}  // namespace interplay::testing
