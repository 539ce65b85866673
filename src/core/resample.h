#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <vector>

namespace interplay {

/// A Poisson(1) number from 64 random bits: how many of the distribution function's steps lie at or below them.
class Poisson {
 public:
  Poisson() {
    double step = std::exp(-1.0), sum = 0;
    for (size_t k = 0; k < thresholds_.size(); ++k) {
      sum += step;
      thresholds_[k] = uint64_t(sum * 0x1p63) << 1;
      step /= double(k + 1);
    }
  }
  uint8_t operator()(uint64_t bits) const {
    uint8_t count = 0;
    while (count < thresholds_.size() && bits >= thresholds_[count]) ++count;
    return count;
  }

 private:
  std::array<uint64_t, 14> thresholds_;  // P(more than 14) < 1e-12
};

/// As numpy.quantile: linear between the neighbours.
inline double quantile(const std::vector<double>& sorted, double q) {
  const double place = q * double(sorted.size() - 1);
  const auto below = size_t(place);
  const size_t above = std::min(below + 1, sorted.size() - 1);
  return sorted[below] + (place - double(below)) * (sorted[above] - sorted[below]);
}

}  // namespace interplay
