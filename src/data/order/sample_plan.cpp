#include "data/order/sample_plan.h"

#include <algorithm>

namespace interplay {

SamplePlan::SamplePlan(const DataSpec& spec, RowParser& parser) {
  for (const PastEvents& past : spec.past()) histories_.emplace_back(past, parser);
  if (spec.options.filter) parser.leave_out(*spec.options.filter);
  if (spec.options.split) split_.emplace(*spec.options.split, parser);
}

std::vector<std::string> SamplePlan::columns() const {
  std::vector<std::string> out = split_ ? split_->columns() : std::vector<std::string>();
  for (const auto& history : histories_) {
    for (auto& name : history.columns()) out.push_back(std::move(name));
  }
  return out;
}

bool SamplePlan::needs_order() const { return !histories_.empty() || (split_ && split_->needs_order()); }

void SamplePlan::add(const RawBatch& raw, const RowValues& values, const RowParser& parser) {
  if (split_ && split_->needs_order()) split_->add(raw, values, parser);
  for (auto& history : histories_) history.add(raw, values, parser);
}

void SamplePlan::finish() {
  for (auto& history : histories_) history.finish();
  const auto is_sample = [&](int64_t row) {
    return std::none_of(histories_.begin(), histories_.end(), [&](const auto& h) { return h.too_short(row); });
  };
  if (split_ && split_->needs_order()) split_->finish(is_sample);
}

uint8_t SamplePlan::split_of(int64_t row, int of_file) const {
  for (const auto& history : histories_) {
    if (history.too_short(row)) return kNoSplit;
  }
  return uint8_t(split_ ? split_->of(row) : of_file);
}

}  // namespace interplay
