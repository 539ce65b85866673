#pragma once

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
#include "server/version_stats.h"

namespace interplay::server {

/// A run that is served: loaded, and warm.
class ServedVersion {
 public:
  /// Loads and scores rows made of missing cells, so that the first request is as fast as those after it.
  /// `unread`: as Scorer::load_unread().
  static std::shared_ptr<ServedVersion> load(const std::string& model, const std::string& version,
                                             const std::filesystem::path& run, bool unread = false);

  const std::string& model() const { return model_; }
  const std::string& version() const { return version_; }
  const std::filesystem::path& run() const { return run_; }
  const RequestColumns& columns() const { return columns_; }
  const std::vector<std::string>& outputs() const { return outputs_; }  ///< `p`, or `p_LABEL` of several labels
  int64_t trained_at() const { return trained_at_; }  ///< seconds of the epoch: when the run was finished

  const std::vector<Field>& fields() const { return scorer_.schema().fields(); }
  /// Of each field, the share of unknown values in training, -1 where the run does not say.
  const std::vector<double>& trained_unknown() const { return trained_unknown_; }
  const std::vector<std::string>& labels() const { return scorer_.schema().labels(); }

  /// f32 [rows * labels], of cells that were read as these columns. Throws RequestError where a column is absent, Error
  /// where a cell is refused.
  std::vector<float> score(const ColumnCells& cells, const RequestColumns& read_as) const;
  /// Counts what the fields make of the same cells: how many values it does not know.
  void count_values(const ColumnCells& cells, const RequestColumns& read_as) const;

  VersionStats& stats() const { return *stats_; }

 private:
  ServedVersion(std::string model, std::string version, std::filesystem::path run, Scorer scorer);
  const Ranker& ranker(const std::vector<bool>& user) const;

  std::string model_, version_;
  std::filesystem::path run_;
  Scorer scorer_;
  RequestColumns columns_;
  std::vector<std::string> outputs_;
  int64_t trained_at_ = 0;
  std::vector<double> trained_unknown_;
  std::unique_ptr<VersionStats> stats_;
  mutable std::shared_mutex mutex_;
  mutable std::map<std::vector<bool>, Ranker> rankers_;  // by which columns are the user's; guarded by mutex_
};

}  // namespace interplay::server
