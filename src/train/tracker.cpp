#include <interplay/train/tracker.h>

#include <cmath>
#include <utility>

#include <interplay/base/log.h>
#include <interplay/train/run.h>

namespace interplay {
namespace {

/// `NAME: options` of `tracking:` as the registry takes it.
Config named_tracker(const Config& tracking, const std::string& name) {
  const Config value = tracking[name];
  if (!trackers().has(name)) detail::unknown_name(value, trackers().kind(), name, trackers().names());
  if (value.is_map() && value.has("name")) value["name"].fail("is no option of a tracker, whose name is its key");
  Config out = value.is_map() ? value : Config();
  if (!value.is_map() && !value.is_null()) {
    const auto options = trackers().about(name).options();
    if (options.empty()) value.fail(fmt::format("{} has no options; write {}: {{}}", name, name));
    out.set_key(options.front().name, value);
  }
  out.set_key("name", Config::scalar(name, true));
  return out;
}

std::vector<std::string> names_in(const Config& tracking) {
  if (tracking.is_null()) return {};
  if (!tracking.is_map()) tracking.fail("expected a map from trackers to their options, as in {tensorboard: {}}");
  return tracking.keys();
}

void add(NamedValues& out, const std::string& name, double value) {
  if (std::isfinite(value)) out.emplace_back(name, value);
}

void add(NamedValues& out, const std::string& prefix, const std::vector<MetricValue>& metrics) {
  for (const auto& metric : metrics) add(out, prefix + metric.name, metric.value);
}

}  // namespace

Tracker::~Tracker() = default;
void Tracker::progress(const FitProgress&) {}

Registry<Tracker>& trackers() {
  static Registry<Tracker> registry("tracker");
  return registry;
}

NamedValues tracked_values(const EpochReport& report) {
  NamedValues out;
  add(out, "train/loss", report.train_loss);
  add(out, "train/lr", report.lr);
  add(out, "train/rows_per_s", report.rows_per_s);
  for (const auto& [term, mean] : report.terms) add(out, "train/terms/" + term, mean);
  add(out, "valid/", report.metrics);
  return out;
}

NamedValues tracked_values(const RunSummary& summary) {
  NamedValues out;
  add(out, "best/valid/", summary.valid);
  add(out, "best/test/", summary.test);
  return out;
}

Config resolve_tracking(const Config& tracking) {
  Config out;
  for (const auto& name : names_in(tracking)) {
    Config options = trackers().resolve(named_tracker(tracking, name));
    options.erase("name");
    out.set_key(name, options);
  }
  return out;
}

Tracking::Tracking(const Config& tracking) {
  for (const auto& name : names_in(tracking)) trackers_.push_back(trackers().make(named_tracker(tracking, name)));
}

void Tracking::add(std::shared_ptr<Tracker> tracker) { trackers_.push_back(std::move(tracker)); }

void Tracking::begin(const TrackedRun& run) {
  if (std::exchange(begun_, true)) return;
  for (const auto& tracker : trackers_) tracker->begin(run);
}

void Tracking::progress(const FitProgress& progress) {
  for (const auto& tracker : trackers_) tracker->progress(progress);
}

void Tracking::record(const EpochReport& report) {
  for (const auto& tracker : trackers_) tracker->record(report);
}

void Tracking::end(RunEnd how, const RunSummary* summary) noexcept {
  if (!begun_ || std::exchange(ended_, true)) return;
  for (const auto& tracker : trackers_) {
    try {
      tracker->end(how, summary);
    } catch (const std::exception& problem) {
      log::warning("tracking: the end of the run is not recorded: {}", problem.what());
    }
  }
}

}  // namespace interplay
