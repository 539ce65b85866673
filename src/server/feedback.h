#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <unordered_set>
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

  struct Known {
    std::vector<std::string> labels;  ///< of the model; none where the request is not remembered
    int64_t rows = 0;
  };
  Known known(const std::string& id) const;
  enum class Told { taken, unknown, repeated };  ///< unknown: the request is not remembered; repeated: told before
  Told take(const std::string& id, int64_t row, const std::string& label, float value);

  int64_t count(Told what) const;

 private:
  struct Remembered {
    std::shared_ptr<ServedVersion> version, shadow;
    std::vector<float> p, of_shadow;  // [rows * labels]
    std::vector<bool> told;
  };
  void forget_oldest();
  Told judge(const std::string& id, int64_t row, const std::string& label, float value);

  const int64_t most_;
  mutable std::mutex mutex_;
  std::unordered_map<std::string, Remembered> requests_;
  std::deque<std::string> order_;           // the oldest first
  std::unordered_set<uint64_t> strangers_;  // labels of requests that are not remembered, as many of the last as rows
  std::deque<uint64_t> strangers_order_;
  int64_t rows_ = 0;
  std::array<int64_t, 3> counts_{};
};

}  // namespace interplay::server
