#include "server/served_version.h"

#include <algorithm>
#include <chrono>

#include <nlohmann/json.hpp>

#include <interplay/base/error.h>
#include <interplay/base/files.h>
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

std::vector<bool> whole_of(const Scorer& scorer) {
  std::vector<bool> out;
  for (const auto& column : scorer.columns()) out.push_back(scorer.holds_whole_numbers(column));
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

/// From the run's summary.json, which a run that is no experiment's has not.
std::vector<double> unknown_in_training(const fs::path& run, const std::vector<Field>& fields) {
  std::vector<double> out(fields.size(), -1);
  try {
    const auto summary = nlohmann::json::parse(read_file(run / "summary.json"));
    for (size_t f = 0; f < fields.size(); ++f) {
      const auto share = summary.at("unknown").find(fields[f].name);
      if (share != summary["unknown"].end() && share->is_number()) out[f] = share->get<double>();
    }
  } catch (const std::exception& error) {
    log::debug("{}: says nothing of unknown values in training: {}", run.string(), error.what());
  }
  return out;
}

}  // namespace

ServedVersion::ServedVersion(std::string model, std::string version, fs::path run, Scorer scorer)
    : model_(std::move(model)),
      version_(std::move(version)),
      run_(std::move(run)),
      scorer_(std::move(scorer)),
      columns_(scorer_.columns(), separators_of(scorer_), whole_of(scorer_)),
      outputs_(outputs_of(scorer_.schema())),
      stats_(std::make_unique<VersionStats>(columns_.names.size(), outputs_.size())) {}

std::shared_ptr<ServedVersion> ServedVersion::load(const std::string& model, const std::string& version,
                                                   const fs::path& run, bool unread) {
  std::shared_ptr<ServedVersion> out(
      new ServedVersion(model, version, run, unread ? Scorer::load_unread(run) : Scorer::load(run)));
  std::error_code ignored;
  const auto written = fs::last_write_time(run / "manifest.json", ignored);
  if (!ignored) out->trained_at_ = seconds_of_epoch(written);
  out->trained_unknown_ = unknown_in_training(run, out->fields());
  const std::vector<std::string_view> blank(size_t(kWarmRows) * out->columns_.names.size());
  std::vector<float> p(size_t(kWarmRows) * out->outputs_.size());
  try {
    out->scorer_.ranker({}).score({}, blank, p);
  } catch (const Error& error) {  // a number that may not be missing, for one: the first request is the slower
    log::debug("{} {}: not warmed: {}", model, version, error.what());
  }
  return out;
}

const Ranker& ServedVersion::ranker(const std::vector<bool>& user) const {
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

std::vector<float> ServedVersion::score(const ColumnCells& cells, const RequestColumns& read_as) const {
  const auto places = places_of(columns_, cells, read_as);
  const size_t rows = size_t(cells.rows());
  std::vector<float> p(rows * outputs_.size());
  if (rows == 0) return p;
  std::vector<bool> of_user(places.size());
  for (size_t c = 0; c < places.size(); ++c) of_user[c] = cells.of_user(places[c]);
  const Ranker& ranker = this->ranker(of_user);
  thread_local std::vector<std::string_view> user, candidates;
  user.clear();
  const size_t width = ranker.candidate_columns().size();
  candidates.resize(rows * width);
  size_t place = 0;
  for (size_t c = 0; c < places.size(); ++c) {
    const auto column = cells.column(places[c]);
    int64_t missing = 0;
    for (const auto cell : column) missing += cell.empty();
    if (missing) stats_->missing[c].fetch_add(missing, std::memory_order_relaxed);
    if (of_user[c]) {
      user.push_back(column[0]);
      continue;
    }
    for (size_t r = 0; r < rows; ++r) candidates[r * width + place] = column[r];
    ++place;
  }
  ranker.score(user, candidates, p);
  stats_->add_scores(p);
  stats_->rows.fetch_add(int64_t(rows), std::memory_order_relaxed);
  return p;
}

void ServedVersion::count_values(const ColumnCells& cells, const RequestColumns& read_as) const {
  const auto places = places_of(columns_, cells, read_as);
  RawBatch batch;
  batch.rows = cells.rows();
  for (size_t c = 0; c < places.size() && batch.rows > 0; ++c) {
    std::vector<std::string> column;
    for (int64_t r = 0; r < batch.rows; ++r) column.emplace_back(cells.cell(places[c], r));
    batch.columns.push_back(make_raw_column(columns_.names[c], column));
  }
  if (batch.rows > 0) stats_->add_values(scorer_.count_values(batch));
}

}  // namespace interplay::server
