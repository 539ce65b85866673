#pragma once

#include <mutex>
#include <string>

#include <interplay/base/error.h>

namespace interplay {

/// The first gradient of a step that is not finite, of those that many threads look at.
class NotFinite {
 public:
  /// `place`: its row in a table, its element in a parameter.
  void found(const std::string& name, int64_t place, bool is_table) {
    const std::lock_guard lock(mutex_);
    if (!name_.empty() && std::pair(name_, place_) <= std::pair(name, place)) return;  // the same one in every run
    name_ = name, place_ = place, is_table_ = is_table;
  }
  /// A table's module is named after the field whose ids read it ("fields.item_id").
  void check(int64_t step) const {
    if (name_.empty()) return;
    const std::string place =
        is_table_ ? fmt::format("in its row {} (an id of field '{}')", place_, name_.substr(name_.rfind('.') + 1))
                  : fmt::format("at element {}", place_);
    throw Error(fmt::format("step {}: the gradient of {} '{}' is not finite {}, though the loss is; lower the learning "
                            "rate, or keep what the model divides by away from 0",
                            step, is_table_ ? "embedding" : "parameter", name_, place),
                ErrorKind::numeric);
  }

 private:
  std::mutex mutex_;
  std::string name_;
  int64_t place_ = 0;
  bool is_table_ = false;
};

}  // namespace interplay
