#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include <interplay/core/model.h>
#include <interplay/optim/optimizer.h>
#include <interplay/train/fit_report.h>

namespace interplay {

/// What training keeps in its run directory: metrics.jsonl, the best weights, checkpoints. Without a directory the
/// best weights stay in memory, and the rest is not kept. Nothing of weights that are not finite is written:
/// Error(numeric) names them.
class RunFiles {
 public:
  void open(const std::filesystem::path& directory) { directory_ = directory; }

  void write_metrics(const std::vector<EpochReport>& all) const;  ///< replaces what was measured after a checkpoint
  void append_metrics(const EpochReport& report) const;

  void keep_best(const Model& model, int64_t step);
  void load_best(Model& model) const;
  void check_best() const;  ///< throws Error(data) where the file of the best weights is damaged

  /// Does nothing without a directory. `state`: what the loop has to remember.
  void save(const Model& model, const Optimizer& optimizer, const nlohmann::ordered_json& state) const;
  /// Weights, optimizer and random state of the last checkpoint. Returns `state`, or null where there is none.
  nlohmann::ordered_json load(Model& model, Optimizer& optimizer) const;

  const std::filesystem::path& directory() const { return directory_; }

 private:
  std::filesystem::path directory_;
  std::map<std::string, at::Tensor> best_;  // without a directory
};

}  // namespace interplay
