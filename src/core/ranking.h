#pragma once

#include <bit>
#include <cstdint>
#include <span>
#include <vector>

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

/// Area under the ROC curve from tie groups by rising logit: a positive beats every negative below and half of those
/// that tie with it (Mann-Whitney).
class AucSum {
 public:
  void add(double positive, double negative) {  ///< weights of one tie group
    area_ += positive * (negative_ + 0.5 * negative);
    positive_ += positive;
    negative_ += negative;
  }
  double weight() const { return positive_ + negative_; }
  bool both_classes() const { return positive_ > 0 && negative_ > 0; }
  double value() const { return area_ / (positive_ * negative_); }  ///< NaN with one class only

 private:
  double area_ = 0, positive_ = 0, negative_ = 0;
};

}  // namespace interplay
