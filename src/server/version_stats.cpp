#include "server/version_stats.h"

#include <algorithm>
#include <cmath>

namespace interplay::server {

void Histogram::add(int64_t ns) {
  const double seconds = double(ns) * 1e-9;
  size_t i = 0;
  while (i < kBounds.size() && seconds > kBounds[i]) ++i;
  counts_[i].fetch_add(1, std::memory_order_relaxed);
  sum_.fetch_add(ns, std::memory_order_relaxed);
}

int64_t Histogram::count() const {
  int64_t out = 0;
  for (const auto& count : counts_) out += count.load(std::memory_order_relaxed);
  return out;
}

void VersionStats::add_scores(std::span<const float> p) {
  std::array<int64_t, kScoreBuckets> counts{};
  double sum = 0;
  for (const float v : p) {
    ++counts[std::min(kScoreBuckets - 1, size_t(std::max(0.f, v) * float(kScoreBuckets)))];
    sum += v;
  }
  for (size_t i = 0; i < kScoreBuckets; ++i) {
    if (counts[i]) scores[i].fetch_add(counts[i], std::memory_order_relaxed);
  }
  score_sum.fetch_add(sum, std::memory_order_relaxed);
}

void VersionStats::add_values(const std::vector<FieldValues>& counts) {
  const std::lock_guard lock(mutex_);
  values_.resize(counts.size());
  for (size_t f = 0; f < counts.size(); ++f) values_[f] += counts[f];
}

std::vector<FieldValues> VersionStats::values() const {
  const std::lock_guard lock(mutex_);
  return values_;
}

void VersionStats::compare(std::span<const float> other, std::span<const float> own) {
  const std::lock_guard lock(mutex_);
  for (size_t i = 0; i < own.size(); ++i) {
    const double difference = std::abs(double(own[i]) - double(other[i]));
    differences_.other += other[i];
    differences_.own += own[i];
    differences_.absolute += difference;
    differences_.most = std::max(differences_.most, difference);
  }
  differences_.rows += int64_t(own.size());
}

Differences VersionStats::differences() const {
  const std::lock_guard lock(mutex_);
  return differences_;
}

void LabelledScores::add(const Row& row) {
  const std::lock_guard lock(mutex_);
  if (rows_.size() < kRows) {
    rows_.push_back(row);
  } else {
    rows_[size_t(count_) % kRows] = row;
  }
  ++count_;
}

std::vector<LabelledScores::Row> LabelledScores::rows() const {
  const std::lock_guard lock(mutex_);
  return rows_;
}

int64_t LabelledScores::count() const {
  const std::lock_guard lock(mutex_);
  return count_;
}

}  // namespace interplay::server
