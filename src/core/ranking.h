#pragma once

#include <bit>
#include <cstdint>
#include <span>
#include <vector>

#include <interplay/base/auc_sum.h>

namespace interplay {

/// Rows by rising logit. An entry holds a 32-bit key, whose order is that of the floats, above a 32-bit row number;
/// equal keys are equal logits, rows of equal logit follow each other by number.
class Ranking {
 public:
  explicit Ranking(std::span<const float> logit);

  size_t size() const { return entries_.size(); }
  uint32_t row(size_t place) const { return uint32_t(entries_[place]); }
  bool tied(size_t a, size_t b) const { return (entries_[a] ^ entries_[b]) >> 32 == 0; }
  size_t tie_end(size_t place) const {  ///< the first place after `place` with another logit
    size_t end = place + 1;
    while (end < entries_.size() && tied(place, end)) ++end;
    return end;
  }

  const std::vector<uint64_t>& entries() const { return entries_; }
  static uint32_t key(float logit) {
    const auto bits = std::bit_cast<uint32_t>(logit + 0.0f);  // -0 + 0 = +0: the two zeros tie
    return bits ^ ((bits >> 31) != 0 ? 0xffffffffu : 0x80000000u);
  }

 private:
  std::vector<uint64_t> entries_;  // [N]
};

}  // namespace interplay
