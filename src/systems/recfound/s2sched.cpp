#include "systems/recfound/s2sched.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include <interplay/base/error.h>

namespace interplay::recfound {
namespace {

double sum_of(std::span<const double> v) { return std::accumulate(v.begin(), v.end(), 0.0); }

double magnitude(std::span<const double> v) {
  return std::accumulate(v.begin(), v.end(), 0.0, [](double sum, double x) { return sum + std::abs(x); });
}

std::vector<double> softmax(std::vector<double> v) {
  const double most = *std::max_element(v.begin(), v.end());
  for (double& x : v) x = std::exp(x - most);
  const double sum = sum_of(v);
  for (double& x : v) x /= sum;
  return v;
}

/// x / sum, 0 where nothing moves.
double share(double x, double sum) { return sum > 0 ? x / sum : 0; }

/// Whole numbers of about weight / sum of weights * budget, which sum to it; not more than `most` each.
std::vector<int64_t> largest_remainder(std::span<const double> weights, int64_t budget, std::span<const int64_t> most) {
  const size_t n = weights.size();
  std::vector<int64_t> out(n, 0);
  const double sum = sum_of(weights);
  if (budget <= 0 || !(sum > 0)) return out;
  std::vector<double> rest(n);
  int64_t left = budget;
  for (size_t i = 0; i < n; ++i) {
    const double exact = weights[i] / sum * double(budget);
    out[i] = int64_t(std::floor(exact + 1e-9));  // what is whole but for rounding is whole
    rest[i] = exact - double(out[i]);
    left -= out[i];
  }
  std::vector<size_t> order(n);
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return rest[a] > rest[b] + 1e-9; });
  for (size_t k = 0; k < n && left > 0; ++k, --left) ++out[order[k]];
  for (size_t i = 0; i < n; ++i) out[i] = std::min(out[i], most[i]);
  return out;
}

}  // namespace

double slope_of(std::span<const double> values) {
  std::vector<double> v;
  for (const double x : values) {
    if (x != 0) v.push_back(x);
  }
  const auto n = double(v.size());
  if (v.size() < 2) return 0;
  const double middle = (n - 1) / 2, mean = sum_of(v) / n;
  double above = 0, below = 0;
  for (size_t i = 0; i < v.size(); ++i) {
    above += (double(i) - middle) * (v[i] - mean);
    below += (double(i) - middle) * (double(i) - middle);
  }
  return above / below;
}

std::vector<int64_t> allocate(std::span<const double> weights, int64_t budget, std::span<const int64_t> available) {
  std::vector<int64_t> out = largest_remainder(weights, budget, available);
  const int64_t over = budget - std::accumulate(out.begin(), out.end(), int64_t{0});
  std::vector<double> again(weights.begin(), weights.end());
  std::vector<int64_t> left;
  for (size_t i = 0; i < out.size(); ++i) {
    left.push_back(available[i] - out[i]);
    if (left.back() <= 0) again[i] = 0;
  }
  const auto more = largest_remainder(again, over, left);
  for (size_t i = 0; i < out.size(); ++i) out[i] += more[i];
  return out;
}

S2Scheduler::S2Scheduler(std::vector<int64_t> families, std::vector<double> sizes, const S2SchedOptions& options)
    : sizes_(std::move(sizes)), options_(options) {
  INTERPLAY_ASSERT(families.size() == sizes_.size());
  for (size_t i = 0; i < families.size(); ++i) {
    if (tasks_.size() <= size_t(families[i])) tasks_.resize(size_t(families[i]) + 1);
    tasks_[size_t(families[i])].push_back(i);
  }
  groups_.resize(tasks_.size());
  decide();
}

void S2Scheduler::add(std::span<const double> ratios) {
  INTERPLAY_ASSERT(ratios.size() == sizes_.size());
  std::vector<double> now(ratios.begin(), ratios.end());
  for (size_t i = 0; i < now.size(); ++i) {
    if (!std::isfinite(now[i])) now[i] = ratios_.empty() ? 1 : ratios_.back()[i];
  }
  ratios_.push_back(std::move(now));
  decide();
}

/// The last `window` ratios of a task.
std::vector<double> S2Scheduler::last(size_t task) const {
  std::vector<double> out;
  const size_t steps = ratios_.size(), first = steps - std::min(steps, size_t(options_.window));
  for (size_t s = first; s < steps; ++s) out.push_back(ratios_[s][task]);
  return out;
}

// The decision before step t = steps + 1 sees the steps before it. Golden values count t as the paper's code does: the
// first decision is `warmup`, which has seen warmup - 1 steps.
void S2Scheduler::decide() {
  const auto t = int64_t(ratios_.size()) + 1;
  decision_ = {std::vector<double>(sizes_.size(), 0), {}, std::vector<double>(sizes_.size(), 0)};
  for (const auto& tasks : tasks_) {
    for (const size_t i : tasks) decision_.weights[i] = 1 / double(tasks.size());
  }
  if (t < options_.warmup) return;
  for (size_t i = 0; i < sizes_.size(); ++i) decision_.slopes[i] = slope_of(last(i));
  slopes_.push_back(decision_.slopes);
  for (size_t f = 0; f < tasks_.size(); ++f) decision_.families.push_back(weigh(int64_t(f), tasks_[f]));
}

S2Scheduler::Family S2Scheduler::weigh(int64_t family, const std::vector<size_t>& tasks) {
  Family out;
  if (tasks.empty()) return out;
  const auto n = double(tasks.size());
  const size_t steps = ratios_.size(), first = steps - std::min(steps, size_t(options_.window));
  std::vector<double> largest;
  for (size_t s = first; s < steps; ++s) {
    double most = ratios_[s][tasks[0]];
    for (const size_t i : tasks) most = std::max(most, ratios_[s][i]);
    largest.push_back(most);
  }
  auto& groups = groups_[size_t(family)];
  out.group_slope = slope_of(largest);
  groups.push_back(out.group_slope);
  std::vector<double> held = groups;
  const double moved = magnitude(groups), count = double(groups.size());
  for (double& x : held) x = -options_.tau * count * share(x, moved);
  out.forgetting = std::min(1.0, count * softmax(held).back());

  std::vector<double> now, relative, absolute;
  for (const size_t i : tasks) now.push_back(decision_.slopes[i]);
  const double all = magnitude(now);
  // slopes since decision max(0, t - window), of which this is number t - warmup
  const auto t = int64_t(steps) + 1;
  const auto since = size_t(std::max<int64_t>(0, t - options_.window));
  for (size_t k = 0; k < tasks.size(); ++k) {
    double own = 0, kept = 0;
    for (size_t s = std::min(since, slopes_.size() - 1); s < slopes_.size(); ++s, ++kept)
      own += std::abs(slopes_[s][tasks[k]]);
    relative.push_back(n * share(now[k], all));
    absolute.push_back(-kept * share(now[k], own));
  }
  out.relative = softmax(relative), out.absolute = softmax(absolute);
  for (size_t k = 0; k < tasks.size(); ++k)
    out.before_size.push_back(n * (out.forgetting * out.relative[k] + (1 - out.forgetting) * out.absolute[k]));
  out.before_size = softmax(out.before_size);
  if (all == 0) {
    out.after_size = out.before_size;  // nothing is known: as before the warm-up's end
    return out;
  }
  for (size_t k = 0; k < tasks.size(); ++k) out.after_size.push_back(out.before_size[k] * sizes_[tasks[k]]);
  const double sum = sum_of(out.after_size);
  for (double& w : out.after_size) w /= sum;
  const double least = 1 / (5 * n);
  const bool lifted = *std::min_element(out.after_size.begin(), out.after_size.end()) < least;
  for (size_t k = 0; k < tasks.size(); ++k)
    decision_.weights[tasks[k]] = lifted ? 0.8 * out.after_size[k] + least : out.after_size[k];
  return out;
}

}  // namespace interplay::recfound
