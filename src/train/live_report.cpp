#include "train/live_report.h"

#include <algorithm>
#include <cmath>

#include <interplay/base/log.h>

#include "train/run_report.h"

namespace interplay {
namespace {

constexpr double kWriteEvery = 5;     // seconds
constexpr double kShare = 1.0 / 500;  // of the time, at most,
constexpr double kAllowance = 0.1;    // but for so many seconds
constexpr size_t kMostLosses = 600;   // points, about as many as a curve has pixels

double seconds_between(std::chrono::steady_clock::time_point from, std::chrono::steady_clock::time_point to) {
  return std::chrono::duration<double>(to - from).count();
}

/// Two neighbours as one.
ReportLoss merged(const ReportLoss& a, const ReportLoss& b) {
  ReportLoss out = b;
  out.steps = a.steps + b.steps;
  out.train_loss = (a.train_loss * double(a.steps) + b.train_loss * double(b.steps)) / double(out.steps);
  return out;
}

}  // namespace

void LiveReport::begin(const TrackedRun& run) {
  report_ = begun_report(run.config);
  report_.progress.emplace();
  report_.progress->doing = "starting";
  report_.progress->step = run.step;
  for (const auto& record : run.records) add_evaluation(record);
  begun_at_ = called_at_ = Clock::now();
  write();
}

void LiveReport::progress(const FitProgress& p) {
  ReportProgress& shown = *report_.progress;
  shown.doing = p.doing == FitProgress::Doing::training ? "training" : "evaluating";
  shown.epoch = p.epoch, shown.epochs = p.epochs, shown.step = p.step, shown.steps = p.steps;
  shown.seconds_left = p.seconds_left;
  place_evaluations();
  if (p.told_steps > 0) {
    shown.rows_per_s = p.rows_per_s;
    add_loss(p);
  }
  write_when_due();
}

void LiveReport::record(const EpochReport& report) {
  add_evaluation(report);
  report_.progress->step = report.step;
  report_.progress->rows_per_s = report.rows_per_s;
  if (is_affordable()) write();
}

void LiveReport::end(RunEnd how, const RunSummary*) {
  if (how == RunEnd::finished) return;
  report_.progress->goes_on = false;
  report_.progress->doing = how == RunEnd::interrupted ? "interrupted" : "failed";
  write();
}

void LiveReport::scores(const std::string& split) {
  report_.progress->doing = "scoring " + split;
  report_.progress->seconds_left = NAN;
  write_when_due();
}

RunReport LiveReport::report() const {
  RunReport out = report_;
  out.progress.reset();
  return out;
}

void LiveReport::add_evaluation(const EpochReport& r) {
  const auto& before = report_.evaluations;
  const double seconds = r.seconds + (before.empty() ? 0 : before.back().seconds);
  report_.evaluations.push_back(
      {r.step, double(r.epoch), r.train_loss, r.lr, r.monitor, r.rows_per_s, seconds, r.metrics, r.terms});
  if (r.improved) report_.best_step = r.step;
  place_evaluations();
}

/// Several evaluations within an epoch, each at its step: their records say only which epoch that is.
void LiveReport::place_evaluations() {
  const ReportProgress& p = *report_.progress;
  if (p.steps == 0) return;
  for (auto& e : report_.evaluations) e.epoch = double(e.step) * double(p.epochs) / double(p.steps);
}

void LiveReport::add_loss(const FitProgress& p) {
  auto& losses = report_.losses;
  losses.push_back({p.epochs_done, p.step, p.told_steps, p.train_loss, p.lr});
  if (losses.size() < kMostLosses) return;
  for (size_t i = 0; i < kMostLosses / 2; ++i) losses[i] = merged(losses[2 * i], losses[2 * i + 1]);
  losses.resize(kMostLosses / 2);
}

bool LiveReport::is_affordable() const {
  return all_writes_s_ + last_write_s_ <= std::max(kAllowance, kShare * seconds_between(begun_at_, Clock::now()));
}

void LiveReport::write_when_due() {
  const auto now = Clock::now();
  longest_silence_s_ = std::max(longest_silence_s_, seconds_between(std::exchange(called_at_, now), now));
  if (seconds_between(written_at_, now) >= kWriteEvery && is_affordable()) write();
}

void LiveReport::write() {
  if (failed_) return;
  const auto begun = Clock::now();
  ReportProgress& p = *report_.progress;
  p.written = std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
  p.every_s = std::max({kWriteEvery, last_write_s_ / kShare, longest_silence_s_});
  try {
    write_report(file_, report_);
  } catch (const Error& problem) {
    failed_ = true;
    log::warning("the report is not written while the run trains: {}", problem.what());
  }
  written_at_ = Clock::now();
  last_write_s_ = seconds_between(begun, written_at_);
  all_writes_s_ += last_write_s_;
}

}  // namespace interplay
