#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <string>
#include <vector>

#include <interplay/serve/scorer.h>

#include "server/request_cells.h"

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

/// What a version was asked and what it answered. Any number of threads may add.
struct VersionStats {
  static constexpr size_t kScoreBuckets = 20;  // of p, as wide as each other

  std::atomic<int64_t> refused{0}, failed{0}, rows{0}, input_ns{0}, output_ns{0}, last_ms{0};
  std::atomic<double> score_sum{0};
  std::array<std::atomic<int64_t>, kScoreBuckets> scores{};
  std::vector<std::atomic<int64_t>> missing;  // [columns], cells
  Histogram queue, compute, whole;            // of requests that were answered

  explicit VersionStats(size_t columns) : missing(columns) {}
  void add_scores(std::span<const float> p);
};

/// A run that is served: loaded, and warm.
class ServedVersion {
 public:
  /// Loads and scores rows made of missing cells, so that the first request is as fast as those after it.
  static std::shared_ptr<ServedVersion> load(const std::string& model, const std::string& version,
                                             const std::filesystem::path& run);

  const std::string& model() const { return model_; }
  const std::string& version() const { return version_; }
  const std::filesystem::path& run() const { return run_; }
  const RequestColumns& columns() const { return columns_; }
  const std::vector<std::string>& outputs() const { return outputs_; }  ///< `p`, or `p_LABEL` of several labels
  int64_t trained_at() const { return trained_at_; }  ///< seconds of the epoch: when the run was finished

  /// f32 [rows * labels]. Throws Error where a cell is refused.
  std::vector<float> score(const RequestCells& cells) const;

  VersionStats& stats() const { return *stats_; }

 private:
  ServedVersion(std::string model, std::string version, std::filesystem::path run, Scorer scorer);
  const Ranker& ranker(const RequestCells& cells) const;

  std::string model_, version_;
  std::filesystem::path run_;
  Scorer scorer_;
  RequestColumns columns_;
  std::vector<std::string> outputs_;
  int64_t trained_at_ = 0;
  std::unique_ptr<VersionStats> stats_;
  mutable std::shared_mutex mutex_;
  mutable std::map<std::vector<bool>, Ranker> rankers_;  // by which columns are the user's; guarded by mutex_
};

}  // namespace interplay::server
