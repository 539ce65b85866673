// `tracking: {mlflow: http://localhost:5000}`: a run of an MLflow server, told by a thread of its own.
#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>

#include <interplay/base/log.h>
#include <interplay/train/tracker.h>

#include "tracking/kept_run.h"
#include "tracking/mlflow_client.h"

namespace fs = std::filesystem;

namespace interplay::tracking {
namespace {

using Clock = std::chrono::steady_clock;
using Seconds = std::chrono::duration<double>;

constexpr size_t kMostWaiting = 100000;               // values; older ones are given up
constexpr size_t kValueBytes = 500;                   // of a param, which older servers take
constexpr Seconds kFirstPause{1}, kLongestPause{60};  // between two attempts

struct MlflowOptions {
  std::string url, experiment = "interplay";
  double timeout_seconds = 10;
  void visit(auto&& field) {
    field("url", url, "of the server, as http://localhost:5000; https is not spoken");
    field("experiment", experiment, "that the run belongs to; made where there is none");
    field("timeout_seconds", timeout_seconds, "for an answer, and for what is left to send when the run has ended",
          Range{.1, 3600});
  }
  void check(const Config& config) const {
    if (url.empty()) config.fail("mlflow has no url; expected the server's, as {mlflow: http://localhost:5000}");
    try {
      HttpUrl::parse(url);
    } catch (const Error& problem) {
      config["url"].fail(problem.what());
    }
    if (experiment.empty()) config["experiment"].fail("is empty; leave it away, or give the experiment a name");
  }
};

int64_t now_ms() { return std::chrono::system_clock::now().time_since_epoch() / std::chrono::milliseconds(1); }

/// Leaves of a configuration under their dotted paths.
void flatten(const Config& config, const std::string& path, MlflowParams& out) {
  if (config.is_map()) {
    for (const auto& key : config.keys())
      flatten(config[key], path.empty() ? key : fmt::format("{}.{}", path, key), out);
    return;
  }
  if (config.is_null()) return;
  std::string text = config.is_scalar() ? config.as<std::string>() : config.yaml();
  while (text.ends_with('\n')) text.pop_back();
  if (text.size() > kValueBytes) text = text.substr(0, kValueBytes - 3) + "...";
  if (!text.empty()) out.emplace_back(mlflow_name(path), text);
}

std::string name_of(const fs::path& directory) {
  const fs::path whole = fs::weakly_canonical(directory);
  return (whole.has_filename() ? whole : whole.parent_path()).filename().string();
}

const char* status_of(RunEnd how) {
  return how == RunEnd::finished ? "FINISHED" : how == RunEnd::interrupted ? "KILLED" : "FAILED";
}

/// What a run has to say waits in a queue, which a thread empties: training waits for no server.
class Mlflow final : public Tracker {
 public:
  using Options = MlflowOptions;
  explicit Mlflow(const Options& options) : options_(options), client_(options.url) {}
  ~Mlflow() override { Mlflow::end(RunEnd::failed, nullptr); }

  void begin(const TrackedRun& run) override {
    directory_ = run.directory;
    const auto kept = KeptRun::load(directory_);
    if (kept && kept->url == options_.url && kept->experiment == options_.experiment) {
      run_ = kept->run_id;
    } else {
      flatten(run.config, "", params_);
      for (const auto& report : run.records) record(report);
    }
    thread_ = std::thread([this] { send_all(); });
  }

  void record(const EpochReport& report) override { add(tracked_values(report), report.step); }

  void end(RunEnd how, const RunSummary* summary) override {
    if (!thread_.joinable()) return;
    if (summary) add(tracked_values(*summary), last_step_);
    {
      const std::lock_guard lock(mutex_);
      status_ = status_of(how);
      ended_ = Clock::now();
    }
    woken_.notify_one();
    thread_.join();
    if (lost_ > 0 || !told_end_) {
      log::warning("mlflow: {}: {} values of this run are not recorded there{} ({}); metrics.jsonl has them",
                   options_.url, lost_, told_end_ ? "" : ", nor how it ended", problem_);
    }
  }

 private:
  void add(const NamedValues& values, int64_t step) {
    {
      const std::lock_guard lock(mutex_);
      last_step_ = step;
      for (const auto& [name, value] : values) queue_.push_back({mlflow_name(name), value, now_ms(), step});
      const size_t beyond = refused_ ? queue_.size() : queue_.size() - std::min(queue_.size(), kMostWaiting);
      lose(beyond);
    }
    woken_.notify_one();
  }

  void lose(size_t values) {
    queue_.erase(queue_.begin(), queue_.begin() + std::ptrdiff_t(values));
    lost_ += int64_t(values);
    given_up_ += int64_t(values);
  }

  // What follows is the thread's.

  void send_all() {
    Seconds pause = kFirstPause;
    std::unique_lock lock(mutex_);
    for (bool first = true;; first = false) {
      woken_.wait(lock, [&] { return first || !queue_.empty() || status_; });
      const bool last = status_ != nullptr;
      if (send(lock)) {
        pause = kFirstPause;
        if (last && told_end_) return;
        continue;
      }
      if (last || refused_) break;
      woken_.wait_for(lock, pause, [&] { return status_ != nullptr; });
      pause = std::min(2 * pause, kLongestPause);
    }
    lose(queue_.size());
  }

  /// What waits, and how the run ended where nothing is left. Returns false where that cannot be done, now or ever
  /// (`refused_`). `lock` is open while the server is asked.
  bool send(std::unique_lock<std::mutex>& lock) {
    const size_t count = std::min(queue_.size(), MlflowClient::kMostMetrics);
    const std::vector<MlflowMetric> metrics(queue_.begin(), queue_.begin() + std::ptrdiff_t(count));
    const int64_t given_up = given_up_;
    const char* const status = count == queue_.size() ? status_ : nullptr;
    client_.set_patience(patience());
    lock.unlock();
    std::string problem;
    bool refused = false;
    try {
      open();
      if (count > 0) client_.log_metrics(run_, metrics);
      if (status) client_.set_status(run_, status, now_ms());
    } catch (const MlflowRefusal& error) {
      problem = error.what(), refused = true;
    } catch (const std::exception& error) {
      problem = error.what();
    }
    lock.lock();
    if (!problem.empty()) {
      tell(problem, refused);
      return false;
    }
    // those at the front may have been given up meanwhile
    const auto gone = std::min(int64_t(count), given_up_ - given_up);
    queue_.erase(queue_.begin(), queue_.begin() + std::ptrdiff_t(int64_t(count) - gone));
    lost_ -= gone;
    told_end_ = status != nullptr;
    return true;
  }

  Seconds patience() const {
    const Seconds whole(options_.timeout_seconds);
    if (!status_) return whole;
    return std::max(Seconds(.1), whole - Seconds(Clock::now() - ended_));
  }

  void open() {
    if (opened_) return;
    if (run_.empty()) {
      run_ = client_.create_run(client_.experiment(options_.experiment), name_of(directory_), now_ms());
      KeptRun{options_.url, options_.experiment, run_}.save(directory_);
    } else {
      client_.set_status(run_, "RUNNING");
    }
    while (!params_.empty()) {
      const size_t count = std::min(params_.size(), MlflowClient::kMostParams);
      client_.log_params(run_, std::span(params_).first(count));
      params_.erase(params_.begin(), params_.begin() + std::ptrdiff_t(count));
    }
    opened_ = true;
  }

  /// Once: a server that is away for hours is no news every minute.
  void tell(const std::string& problem, bool refused) {
    refused_ = refused;
    if (problem_.empty() || refused) {
      log::warning("mlflow: {}: {}; training goes on, {}", options_.url, problem,
                   refused ? "unrecorded there" : "and what it says is sent when the server answers");
    }
    problem_ = problem;
  }

  const Options options_;
  fs::path directory_;
  std::thread thread_;
  // of the thread, once there is one
  MlflowClient client_;
  MlflowParams params_;
  std::string run_;
  bool opened_ = false;

  std::mutex mutex_;  // of all below
  std::condition_variable woken_;
  std::deque<MlflowMetric> queue_;
  const char* status_ = nullptr;  // how it ended
  Clock::time_point ended_;
  int64_t last_step_ = 0;
  int64_t lost_ = 0, given_up_ = 0;  // values; given_up_ only grows
  bool refused_ = false, told_end_ = false;
  std::string problem_;  // the last
};

INTERPLAY_REGISTER(trackers(), "mlflow", Mlflow, "a run of an MLflow server, over its REST API");

}  // namespace
}  // namespace interplay::tracking
