#pragma once

#include <chrono>
#include <filesystem>

#include <interplay/train/report.h>
#include <interplay/train/tracker.h>

namespace interplay {

/// `report.html` of a run that is not finished: written when it begins, at each evaluation, and in between every five
/// seconds, or less often where all that takes more than 1/500 of the time. A page that cannot be written is said in
/// the log, and no reason to end the run.
class INTERPLAY_API LiveReport final : public Tracker {
 public:
  explicit LiveReport(std::filesystem::path file) : file_(std::move(file)) {}

  void begin(const TrackedRun& run) override;
  void progress(const FitProgress& progress) override;
  void record(const EpochReport& report) override;
  void end(RunEnd how, const RunSummary* summary) override;  ///< nothing where it is finished: see report()

  void scores(const std::string& split);  ///< that rows of a split are scored, after training
  RunReport report() const;               ///< what is known so far, as that of a finished run

 private:
  using Clock = std::chrono::steady_clock;
  void add_evaluation(const EpochReport& report);
  void place_evaluations();
  void add_loss(const FitProgress& progress);
  bool is_affordable() const;
  void write_when_due();
  void write();

  std::filesystem::path file_;
  RunReport report_;
  Clock::time_point begun_at_{}, written_at_{}, called_at_{};
  double last_write_s_ = 0, all_writes_s_ = 0, longest_silence_s_ = 0;
  bool failed_ = false;
};

}  // namespace interplay
