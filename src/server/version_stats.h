#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include <interplay/data/field_values.h>

namespace interplay::server {

/// Seconds, by the bucket they fall into: bounds from 0.1 ms on. Any number of threads may add.
class Histogram {
 public:
  static constexpr std::array<double, 17> kBounds = {.0001, .0002, .0005, .001, .0015, .002, .0025, .003, .005,
                                                     .01,   .02,   .05,   .1,   .2,    .5,   1,     5};
  void add(int64_t ns);
  int64_t count() const;
  int64_t sum_ns() const { return sum_.load(std::memory_order_relaxed); }
  int64_t in_bucket(size_t i) const {
    return counts_[i].load(std::memory_order_relaxed);
  }  ///< the last: beyond all bounds

 private:
  std::array<std::atomic<int64_t>, kBounds.size() + 1> counts_{};
  std::atomic<int64_t> sum_{0};
};

/// The last scores of a label that what happened is known of: a ring. Any number of threads may add.
class LabelledScores {
 public:
  static constexpr size_t kRows = 100000;
  struct Row {
    float p, other, label;  // other: of a second model, or p again
  };
  void add(const Row& row);
  std::vector<Row> rows() const;  ///< the latest of them
  int64_t count() const;          ///< that ever came

 private:
  mutable std::mutex mutex_;
  std::vector<Row> rows_;
  int64_t count_ = 0;
};

/// Two versions' scores of the same rows: sums.
struct Differences {
  int64_t rows = 0;
  double other = 0, own = 0, absolute = 0, most = 0;
};

/// What a version was asked and what it answered. Any number of threads may add.
struct VersionStats {
  static constexpr size_t kScoreBuckets = 20;  // of p, as wide as each other

  std::atomic<int64_t> refused{0}, failed{0}, rows{0}, input_ns{0}, output_ns{0}, last_ms{0};
  std::atomic<double> score_sum{0};
  std::array<std::atomic<int64_t>, kScoreBuckets> scores{};
  std::vector<std::atomic<int64_t>> missing;  // [columns], cells
  Histogram queue, compute, whole;            // of requests that were answered
  std::vector<LabelledScores> labelled;       // [labels]

  VersionStats(size_t columns, size_t labels) : missing(columns), labelled(labels) {}
  void add_scores(std::span<const float> p);
  void add_values(const std::vector<FieldValues>& counts);                 ///< of some rows, field by field
  std::vector<FieldValues> values() const;                                 ///< their sums
  void compare(std::span<const float> other, std::span<const float> own);  ///< of a shadow: whose place it could take
  Differences differences() const;

 private:
  mutable std::mutex mutex_;
  std::vector<FieldValues> values_;
  Differences differences_;
};

}  // namespace interplay::server
