#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include <interplay/base/config.h>
#include <interplay/train/trainer.h>

namespace interplay {

struct RunReport;

struct RunOptions {
  std::filesystem::path data;                ///< prepared data
  std::filesystem::path out;                 ///< the run directory (a Bundle)
  bool resume = false;                       ///< go on from the last checkpoint in `out`
  bool test = true;                          ///< judge the best weights on the test split too, where there is one
  std::function<void(Trainer&)> started{};   ///< called before the first step: a place to keep trainer.stop()
  std::function<void(Trainer&)> finished{};  ///< called after the last step, unless it was stopped
  /// Adds to report.html; called when all else of the run but report.html and the manifest is written.
  std::function<void(RunReport&)> report{};
};

/// What a finished run says of itself; also in `<run>/summary.json`.
struct RunSummary {
  FitReport fit;
  int64_t parameters = 0;
  std::vector<MetricValue> valid, test;  ///< of the best weights; empty where there is no such split
  double seconds = 0;                    ///< all of it, with evaluation
  int64_t peak_bytes = 0;                ///< largest resident memory of the process
};

/// One experiment: the tree of an experiment file (model, fields, train, optimizer, seed) and prepared data to a bundle
/// with weights, metrics, log and report. Throws Error on a key that nobody reads, on an `out` that holds another run,
/// and Error(interrupted) after a stop that left a checkpoint.
///
/// Threads are the program's: `threads:` is kept in config.yaml, and at::set_num_threads() is for who calls this (as
/// `interplay train` does). Torch's default generators are afterwards as they were.
INTERPLAY_API RunSummary train_run(const Config& experiment, const RunOptions& options);

/// The experiment with every default written out: what config.yaml in the bundle holds.
INTERPLAY_API Config resolve_experiment(const Config& experiment);

/// Largest resident memory this process has had, in bytes; 0 where the system does not tell (/proc/self/status).
INTERPLAY_API int64_t peak_memory_bytes();

}  // namespace interplay
