#include "data/order/split_plan.h"

#include <algorithm>
#include <cmath>

#include <interplay/base/error.h>
#include <interplay/base/random.h>

namespace interplay {
namespace {

constexpr uint64_t kStream = 0x73706c6974;  // "split": apart from other draws with the same seed

}  // namespace

SplitPlan::SplitPlan(const SplitOptions& options, RowParser& parser) : options_(options), order_(options.tie.size()) {
  options_.ratios.resize(3, 0.0);
  if (!needs_order()) return;
  time_at_ = parser.require_number(options.time, true);
  if (options.of_users()) parser.require_present(options.user);
}

std::vector<std::string> SplitPlan::columns() const {
  std::vector<std::string> out;
  if (!needs_order()) return out;
  out.push_back(options_.time);
  if (!options_.user.empty()) out.push_back(options_.user);
  out.insert(out.end(), options_.tie.begin(), options_.tie.end());
  return out;
}

void SplitPlan::add(const RawBatch& raw, const RowValues& values, const RowParser& parser) {
  const RawColumn* const user = options_.of_users() ? &raw.column(options_.user) : nullptr;
  std::vector<const RawColumn*> columns;
  for (const auto& name : options_.tie) columns.push_back(&raw.column(name));
  std::vector<std::string_view> ties(columns.size());
  for (const int32_t r : values.rows) {
    for (size_t t = 0; t < ties.size(); ++t) {
      ties[t] = parser.missing(*columns[t], r) ? std::string_view() : columns[t]->cell(r);
    }
    order_.add(user ? users_.insert(user->cell(r)) : 0, values.time_of(time_at_, r), ties);
  }
}

void SplitPlan::finish(const std::function<bool(uint32_t row)>& is_sample) {
  order_.finish();
  users_.clear();
  split_.resize(order_.size());
  std::vector<uint32_t> samples;
  const auto& rows = order_.rows();
  for (size_t i = 0; i < rows.size(); ++i) {
    if (is_sample(rows[i])) samples.push_back(rows[i]);
    const bool last_of_user = i + 1 == rows.size() || order_.user(rows[i + 1]) != order_.user(rows[i]);
    if (last_of_user) cut(samples), samples.clear();
  }
  order_ = EventOrder(0);
}

void SplitPlan::cut(std::span<const uint32_t> rows) {
  if (options_.by == "user_last") {
    for (size_t i = 0; i < rows.size(); ++i) split_[rows[i]] = uint8_t(2 - std::min<size_t>(2, rows.size() - 1 - i));
    return;
  }
  const auto n = double(rows.size());
  // 0.8 + 0.1 falls just short of 0.9 in binary, and floor() would show it
  const auto train = size_t(std::floor(options_.ratios[0] * n + 1e-6));
  const auto valid = size_t(std::floor((options_.ratios[0] + options_.ratios[1]) * n + 1e-6));
  for (size_t i = 0; i < rows.size(); ++i) split_[rows[i]] = i < train ? 0 : i < valid ? 1 : 2;
}

int SplitPlan::of(int64_t row) const {
  if (needs_order()) return split_[size_t(row)];
  const double draw = random_unit(uint64_t(options_.seed), kStream, uint64_t(row));
  return draw < options_.ratios[0]                                                   ? 0
         : draw < options_.ratios[0] + options_.ratios[1] || options_.ratios[2] == 0 ? 1
                                                                                     : 2;
}

}  // namespace interplay
