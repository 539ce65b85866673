#pragma once

#include <filesystem>
#include <optional>
#include <string>

namespace interplay::tracking {

/// Which run of which server a run directory is: its file `.mlflow.json`.
struct KeptRun {
  std::string url, experiment, run_id;

  /// Nothing where the directory has no such file; throws Error(data) where it is none.
  static std::optional<KeptRun> load(const std::filesystem::path& directory);
  void save(const std::filesystem::path& directory) const;
};

}  // namespace interplay::tracking
