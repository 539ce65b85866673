#include "systems/recfound/row_sampler.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <set>

#include <interplay/base/error.h>

#include "systems/recfound/s2sched.h"

namespace interplay::recfound {

RowSampler::RowSampler(std::vector<int64_t> tasks, std::vector<int64_t> rows, uint64_t seed)
    : tasks_(std::move(tasks)), seed_(seed) {
  for (size_t t = 0; t < tasks_.size(); ++t) {
    for (int64_t row = 0; row < rows[t]; ++row) places_.push_back({tasks_[t], row}), task_of_.push_back(t);
  }
  used_.assign(places_.size(), false);
}

/// Places of distinct rows, as they pass by.
std::vector<int64_t> RowSampler::draw(int64_t count) {
  std::vector<int64_t> out;
  std::set<int64_t> seen;
  const int64_t n = size();
  for (count = std::min(count, n); int64_t(out.size()) < count; ++drawn_) {
    const Permutation order(uint64_t(n), seed_ + uint64_t(drawn_ / n));
    const auto place = int64_t(order.at(uint64_t(drawn_ % n)));
    if (seen.insert(place).second) out.push_back(place);
  }
  return out;
}

std::vector<RowPlace> RowSampler::next(int64_t budget) {
  std::vector<RowPlace> out;
  for (const int64_t place : draw(budget)) {
    out.push_back(places_[size_t(place)]);
    used_[size_t(place)] = true;
  }
  return out;
}

std::vector<RowPlace> RowSampler::next(int64_t budget, double keep, std::span<const double> weights) {
  const size_t n = tasks_.size();
  INTERPLAY_ASSERT(weights.size() == n);
  std::vector<std::vector<int64_t>> fresh(n), others(n);
  for (const int64_t place : draw(std::llround(double(budget) / keep)))
    (used_[size_t(place)] ? others : fresh)[task_of_[size_t(place)]].push_back(place);
  std::vector<RowPlace> out;
  for (const auto* const rows : {&fresh, &others}) {
    std::vector<int64_t> available;
    for (const auto& of_task : *rows) available.push_back(int64_t(of_task.size()));
    const auto counts = allocate(weights, budget - int64_t(out.size()), available);
    for (size_t t = 0; t < n; ++t) {
      for (int64_t k = 0; k < counts[t]; ++k) {
        const auto place = size_t((*rows)[t][size_t(k)]);
        out.push_back(places_[place]);
        used_[place] = true;
      }
    }
  }
  return out;
}

std::string RowSampler::used() const {
  std::string out;
  for (size_t i = 0; i < used_.size(); i += 4) {
    int digit = 0;
    for (size_t k = 0; k < 4 && i + k < used_.size(); ++k) digit |= int(used_[i + k]) << k;
    out += "0123456789abcdef"[digit];
  }
  return out;
}

void RowSampler::restore(int64_t drawn, const std::string& used) {
  INTERPLAY_CHECK_DATA(drawn >= 0 && used.size() == (used_.size() + 3) / 4,
                       "rows that were used: {} digits for {} rows; expected {}", used.size(), used_.size(),
                       (used_.size() + 3) / 4);
  for (size_t i = 0; i < used_.size(); ++i) {
    const auto digit = std::string_view("0123456789abcdef").find(used[i / 4]);
    INTERPLAY_CHECK_DATA(digit != std::string_view::npos, "rows that were used: '{}' is no digit from 0 to f",
                         used[i / 4]);
    used_[i] = (digit >> i % 4 & 1) != 0;
  }
  drawn_ = drawn;
}

}  // namespace interplay::recfound
