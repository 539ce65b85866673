// `tracking: {tensorboard: {}}`: event files in the run directory, which TensorBoard shows while they grow.
#include <algorithm>
#include <chrono>
#include <optional>

#include <interplay/train/event_file.h>

namespace fs = std::filesystem;

namespace interplay {
namespace {

constexpr const char* kEventFile = "events.out.tfevents.";

double wall_time() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

bool has_event_file(const fs::path& directory) {
  return std::any_of(fs::directory_iterator(directory), fs::directory_iterator(),
                     [](const auto& entry) { return entry.path().filename().string().starts_with(kEventFile); });
}

class TensorBoard final : public Tracker {
 public:
  using Options = NoOptions;
  explicit TensorBoard(const Options&) {}

  void begin(const TrackedRun& run) override {
    const bool has_earlier = run.resumed && has_event_file(run.directory);
    const double now = wall_time();
    // TensorBoard reads a directory's files in the order of their names
    const auto name = fmt::format("{}{:.0f}.{:012}.interplay", kEventFile, now, run.step);
    file_.emplace(run.directory / name, now);
    if (has_earlier) return file_->restart(now, run.step + 1);
    for (const auto& report : run.records) record(report);
  }

  void record(const EpochReport& report) override {
    last_step_ = report.step;
    file_->scalars(wall_time(), report.step, tracked_values(report));
  }

  void end(RunEnd how, const RunSummary* summary) override {
    if (summary) file_->scalars(wall_time(), last_step_, tracked_values(*summary));
  }

 private:
  std::optional<EventFile> file_;
  int64_t last_step_ = 0;
};

INTERPLAY_REGISTER(trackers(), "tensorboard", TensorBoard, "event files in the run directory, for TensorBoard");

}  // namespace
}  // namespace interplay
