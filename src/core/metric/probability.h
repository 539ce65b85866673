#pragma once

#include <algorithm>
#include <cmath>
#include <limits>

namespace interplay {

/// What a metric is on rows that do not define it.
constexpr double kUndefined = std::numeric_limits<double>::quiet_NaN();

inline double sigmoid(double z) { return 1.0 / (1.0 + std::exp(-z)); }

/// -y log p - (1 - y) log(1 - p) of p = sigmoid(z), from the logit: exact where p is 0 or 1 to the last bit, so that
/// nothing need be clipped.
inline double cross_entropy(double z, double y) {
  return std::max(z, 0.0) - z * y + std::log1p(std::exp(-std::abs(z)));
}

}  // namespace interplay
