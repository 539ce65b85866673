#include "data/split.h"

#include <cmath>

#include <interplay/base/error.h>
#include <interplay/base/random.h>

namespace interplay {
namespace {

constexpr uint64_t kStream = 0x73706c6974;  // "split": apart from other draws with the same seed

}  // namespace

SplitPlan::SplitPlan(const SplitOptions& options, RowParser& parser) : options_(options) {
  options_.ratios.resize(3, 0.0);
  if (!needs_order()) return;
  time_at_ = parser.require_number(options.time, true);
  if (options.by == "user_time") parser.require_present(options.user);
}

std::vector<std::string> SplitPlan::columns() const {
  std::vector<std::string> out;
  if (!needs_order()) return out;
  out.push_back(options_.time);
  if (!options_.user.empty()) out.push_back(options_.user);
  if (!options_.tie.empty()) out.push_back(options_.tie);
  return out;
}

void SplitPlan::add(const RawBatch& raw, const RowValues& values, const RowParser& parser) {
  const RawColumn* const user = options_.by == "user_time" ? &raw.column(options_.user) : nullptr;
  const RawColumn* const tie = options_.tie.empty() ? nullptr : &raw.column(options_.tie);
  for (const int32_t r : values.rows) {
    order_.add(user ? users_.insert(user->cell(r)) : 0, values.required[time_at_][size_t(r)],
               tie && !parser.missing(*tie, r) ? tie->cell(r) : std::string_view());
  }
}

void SplitPlan::finish() {
  order_.finish();
  users_.clear();
  split_.resize(order_.size());
  const auto& rows = order_.rows();
  for (size_t begin = 0, end; begin < rows.size(); begin = end) {
    for (end = begin; end < rows.size() && order_.user(rows[end]) == order_.user(rows[begin]);) ++end;
    cut(rows.data() + begin, rows.data() + end);
  }
  order_ = EventOrder();
}

void SplitPlan::cut(const uint32_t* begin, const uint32_t* end) {
  const auto n = double(end - begin);
  // 0.8 + 0.1 falls just short of 0.9 in binary, and floor() would show it
  const auto train = int64_t(std::floor(options_.ratios[0] * n + 1e-6));
  const auto valid = int64_t(std::floor((options_.ratios[0] + options_.ratios[1]) * n + 1e-6));
  for (const uint32_t* row = begin; row < end; ++row) {
    split_[*row] = row - begin < train ? 0 : row - begin < valid ? 1 : 2;
  }
}

int SplitPlan::of(int64_t row) const {
  if (needs_order()) return split_[size_t(row)];
  const double draw = random_unit(uint64_t(options_.seed), kStream, uint64_t(row));
  return draw < options_.ratios[0]                                                   ? 0
         : draw < options_.ratios[0] + options_.ratios[1] || options_.ratios[2] == 0 ? 1
                                                                                     : 2;
}

}  // namespace interplay
