#include <interplay/base/in_order.h>

namespace interplay {

bool Turnstile::wait(int64_t number) {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return problem_ || turn_ == number; });
  return !problem_;
}

void Turnstile::pass() {
  {
    const std::lock_guard lock(mutex_);
    ++turn_;
  }
  changed_.notify_all();
}

void Turnstile::fail(std::exception_ptr problem) {
  {
    const std::lock_guard lock(mutex_);
    if (!problem_) problem_ = std::move(problem);
  }
  changed_.notify_all();
}

void Turnstile::rethrow() const {
  if (problem_) std::rethrow_exception(problem_);
}

}  // namespace interplay
