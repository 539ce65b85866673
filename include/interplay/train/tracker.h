#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <interplay/base/registry.h>
#include <interplay/train/fit_progress.h>
#include <interplay/train/fit_report.h>

namespace interplay {

struct RunSummary;

/// A run as its trackers see it when it begins, or goes on.
struct TrackedRun {
  std::filesystem::path directory;
  Config config;                          ///< with every default written out, as config.yaml
  bool resumed = false;                   ///< whether the directory held this run before
  int64_t step = 0;                       ///< last step of the checkpoint it goes on from; 0: begun anew
  std::vector<EpochReport> records = {};  ///< of metrics.jsonl up to that step; what came later is measured again
};

enum class RunEnd { finished, interrupted, failed };

/// Somebody who is told of a run while it trains: `tracking:` of an experiment names them. One thread calls, in the
/// order begin(), progress() and record()..., end(). What begin(), progress() and record() throw ends the run, as a
/// metrics.jsonl that cannot be written does.
///
/// A new tracker is one file:
///
///     class Printer final : public interplay::Tracker {
///      public:
///       using Options = interplay::NoOptions;
///       explicit Printer(const Options&) {}
///       void begin(const interplay::TrackedRun& run) override {}
///       void record(const interplay::EpochReport& report) override { fmt::print("{}\n", report.step); }
///       void end(interplay::RunEnd how, const interplay::RunSummary* summary) override {}
///     };
///     INTERPLAY_REGISTER(interplay::trackers(), "printer", Printer, "prints each step that is evaluated");
class INTERPLAY_API Tracker {
 public:
  virtual ~Tracker();
  virtual void begin(const TrackedRun& run) = 0;
  virtual void progress(const FitProgress& progress);                     ///< about once a second; does nothing
  virtual void record(const EpochReport& report) = 0;                     ///< once a line of metrics.jsonl
  virtual void end(RunEnd how, const RunSummary* summary = nullptr) = 0;  ///< `summary`: of a finished run
};

INTERPLAY_API Registry<Tracker>& trackers();

using NamedValues = std::vector<std::pair<std::string, double>>;

/// The finite numbers of a record, under the names that trackers give them: `train/loss`, `train/lr`,
/// `train/rows_per_s`, `train/terms/NAME` and, of each metric, `valid/NAME`.
INTERPLAY_API NamedValues tracked_values(const EpochReport& report);
/// Of the best weights: `best/valid/NAME`, `best/test/NAME`.
INTERPLAY_API NamedValues tracked_values(const RunSummary& summary);

/// `tracking:` of an experiment with every default written out: a map from a tracker's name to its options, or to the
/// first of them alone. Throws Error on a tracker or an option that there is not.
INTERPLAY_API Config resolve_tracking(const Config& tracking);

/// The trackers of a run, told together. Where begin() was not called, nobody is told of an end.
class INTERPLAY_API Tracking {
 public:
  Tracking() = default;                       ///< nobody
  explicit Tracking(const Config& tracking);  ///< as resolve_tracking() takes it

  void add(std::shared_ptr<Tracker> tracker);  ///< one that no experiment names

  void begin(const TrackedRun& run);  ///< the first time; a Trainer that fits again goes on with the same run
  void progress(const FitProgress& progress);
  void record(const EpochReport& report);
  /// The first time. Throws nothing: the run has ended already; what cannot be recorded is said in the log.
  void end(RunEnd how, const RunSummary* summary = nullptr) noexcept;

 private:
  std::vector<std::shared_ptr<Tracker>> trackers_;
  bool begun_ = false, ended_ = false;
};

}  // namespace interplay
