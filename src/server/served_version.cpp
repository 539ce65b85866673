#include "server/served_version.h"

#include <algorithm>
#include <chrono>

#include <interplay/base/error.h>
#include <interplay/base/log.h>

namespace interplay::server {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kWarmRows = 200;

std::vector<std::string> separators_of(const Scorer& scorer) {
  std::vector<std::string> out;
  for (const auto& column : scorer.columns()) out.push_back(scorer.separator(column));
  return out;
}

std::vector<std::string> outputs_of(const Schema& schema) {
  std::vector<std::string> out;
  if (schema.labels().size() < 2) return {"p"};
  for (const auto& label : schema.labels()) out.push_back("p_" + label);
  return out;
}

int64_t seconds_of_epoch(fs::file_time_type time) {
  const auto system = std::chrono::file_clock::to_sys(time);
  return std::chrono::duration_cast<std::chrono::seconds>(system.time_since_epoch()).count();
}

}  // namespace

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

ServedVersion::ServedVersion(std::string model, std::string version, fs::path run, Scorer scorer)
    : model_(std::move(model)),
      version_(std::move(version)),
      run_(std::move(run)),
      scorer_(std::move(scorer)),
      columns_(scorer_.columns(), separators_of(scorer_)),
      outputs_(outputs_of(scorer_.schema())),
      stats_(std::make_unique<VersionStats>(columns_.names.size())) {}

std::shared_ptr<ServedVersion> ServedVersion::load(const std::string& model, const std::string& version,
                                                   const fs::path& run) {
  std::shared_ptr<ServedVersion> out(new ServedVersion(model, version, run, Scorer::load(run)));
  std::error_code ignored;
  const auto written = fs::last_write_time(run / "manifest.json", ignored);
  if (!ignored) out->trained_at_ = seconds_of_epoch(written);
  const std::vector<std::string_view> blank(size_t(kWarmRows) * out->columns_.names.size());
  std::vector<float> p(size_t(kWarmRows) * out->outputs_.size());
  try {
    out->scorer_.ranker({}).score({}, blank, p);
  } catch (const Error& error) {  // a number that may not be missing, for one: the first request is the slower
    log::debug("{} {}: not warmed: {}", model, version, error.what());
  }
  return out;
}

const Ranker& ServedVersion::ranker(const RequestCells& cells) const {
  std::vector<bool> user(columns_.names.size());
  for (size_t c = 0; c < user.size(); ++c) user[c] = cells.of_user(c);
  {
    const std::shared_lock lock(mutex_);
    const auto known = rankers_.find(user);
    if (known != rankers_.end()) return known->second;
  }
  std::vector<std::string> names;
  for (size_t c = 0; c < user.size(); ++c) {
    if (user[c]) names.push_back(columns_.names[c]);
  }
  const std::unique_lock lock(mutex_);
  const auto known = rankers_.find(user);
  if (known != rankers_.end()) return known->second;
  return rankers_.emplace(user, scorer_.ranker(names)).first->second;
}

std::vector<float> ServedVersion::score(const RequestCells& cells) const {
  const size_t rows = size_t(cells.rows());
  std::vector<float> p(rows * outputs_.size());
  if (rows == 0) return p;
  const Ranker& ranker = this->ranker(cells);
  thread_local std::vector<std::string_view> user, candidates;
  user.clear();
  candidates.resize(rows * ranker.candidate_columns().size());
  const size_t width = ranker.candidate_columns().size();
  size_t place = 0;
  for (size_t c = 0; c < columns_.names.size(); ++c) {
    const auto column = cells.column(c);
    if (cells.of_user(c)) {
      user.push_back(column[0]);
      continue;
    }
    for (size_t r = 0; r < rows; ++r) candidates[r * width + place] = column[r];
    ++place;
  }
  ranker.score(user, candidates, p);
  for (size_t c = 0; c < columns_.names.size(); ++c) {
    int64_t missing = 0;
    for (const auto cell : cells.column(c)) missing += cell.empty();
    if (missing) stats_->missing[c].fetch_add(missing, std::memory_order_relaxed);
  }
  stats_->add_scores(p);
  stats_->rows.fetch_add(int64_t(rows), std::memory_order_relaxed);
  return p;
}

}  // namespace interplay::server
