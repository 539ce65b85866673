#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

namespace interplay::bench {

/// An id from 1 to rows - 1, from u in [0, 1): each as likely, or log-uniform, so that id r comes up about
/// 1 / (r log rows) of the time.
inline int32_t draw_id(double u, int64_t rows, bool uniform) {
  const auto most = double(rows - 1);
  return int32_t(std::min(most, std::floor(uniform ? 1 + u * most : std::pow(rows, u))));
}

}  // namespace interplay::bench
