#include <interplay/base/alias_table.h>

#include <cmath>
#include <numeric>

#include <interplay/base/error.h>

namespace interplay {

AliasTable::AliasTable(std::span<const double> weights)
    : keep_(weights.begin(), weights.end()), alias_(weights.size()) {
  for (size_t i = 0; i < weights.size(); ++i) {
    INTERPLAY_CHECK(std::isfinite(weights[i]) && weights[i] >= 0,
                    "alias table: weight {} is {}; expected a finite number of 0 or more", i, weights[i]);
  }
  const double sum = std::accumulate(weights.begin(), weights.end(), 0.0);
  INTERPLAY_CHECK(sum > 0 && std::isfinite(sum), "alias table: the {} weights sum to {}; expected more than 0",
                  weights.size(), sum);
  std::iota(alias_.begin(), alias_.end(), int64_t{0});
  std::vector<size_t> small, large;  // places with less than their share, and with at least it
  for (size_t i = 0; i < keep_.size(); ++i) {
    keep_[i] *= double(keep_.size()) / sum;
    (keep_[i] < 1 ? small : large).push_back(i);
  }
  while (!small.empty() && !large.empty()) {
    const size_t less = small.back(), more = large.back();
    small.pop_back();
    alias_[less] = int64_t(more);
    keep_[more] -= 1 - keep_[less];
    if (keep_[more] >= 1) continue;
    large.pop_back();
    small.push_back(more);
  }
  for (const auto* rest : {&small, &large}) {  // 1 but for rounding
    for (const size_t i : *rest) keep_[i] = 1;
  }
}

}  // namespace interplay
