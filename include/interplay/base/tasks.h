#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <exception>
#include <functional>
#include <thread>

#include <ATen/Parallel.h>

namespace interplay {

/// Calls task(0) .. task(n - 1), each once, on all threads; whoever is free takes the next. What a task writes must not
/// depend on who runs it.
template <class Task>
void run_tasks(int64_t n, const Task& task) {
  std::atomic<int64_t> next = 0;
#ifdef __SANITIZE_THREAD__  // which knows nothing of OpenMP's threads
  std::exception_ptr failed[2];
  const auto work = [&](std::exception_ptr& problem) {
    try {
      for (int64_t i; (i = next.fetch_add(1)) < n;) task(i);
    } catch (...) {
      problem = std::current_exception();
    }
  };
  std::thread other(work, std::ref(failed[1]));
  work(failed[0]);
  other.join();
  for (const auto& problem : failed) {
    if (problem) std::rethrow_exception(problem);
  }
  return;
#endif
  at::parallel_for(0, std::min<int64_t>(n, at::get_num_threads()), 1, [&](int64_t, int64_t) {
    for (int64_t i; (i = next.fetch_add(1, std::memory_order_relaxed)) < n;) task(i);
  });
}

}  // namespace interplay
