#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "server/served_version.h"

namespace interplay::server {

/// The scores of the last requests that had an id, for what happened to their rows is told later. Thread-safe.
class Feedback {
 public:
  explicit Feedback(int64_t rows) : most_(rows) {}  ///< remembered at most; 0: none

  /// A later request of the same id takes the place of one before.
  void remember(const std::string& id, std::shared_ptr<ServedVersion> version, std::span<const float> p);
  /// What another version said of the same rows: from then on their labels compare the two.
  void remember_shadow(const std::string& id, std::shared_ptr<ServedVersion> shadow, std::span<const float> p);

  /// The names of the labels of a request, or none where it is not remembered.
  std::vector<std::string> labels(const std::string& id) const;
  /// False where the request is not remembered, has no such row, or has this label of it already.
  bool take(const std::string& id, int64_t row, size_t label, float value);

  int64_t taken() const;
  int64_t unknown() const;

 private:
  struct Remembered {
    std::shared_ptr<ServedVersion> version, shadow;
    std::vector<float> p, of_shadow;  // [rows * labels]
    std::vector<bool> told;
  };
  void forget_oldest();
  bool judge(const std::string& id, int64_t row, size_t label, float value);

  const int64_t most_;
  mutable std::mutex mutex_;
  std::unordered_map<std::string, Remembered> requests_;
  std::deque<std::string> order_;  // the oldest first
  int64_t rows_ = 0, taken_ = 0, unknown_ = 0;
};

}  // namespace interplay::server
