#pragma once

#include <cstdint>

namespace interplay {

/// What `group` holds of a row whose cell is empty or missing. Such rows are nobody's, not all one person's: no metric
/// and no loss compares them with another. (The hash of the empty token.)
inline constexpr int64_t kNoGroup = 0x2D06800538D394C2;

}  // namespace interplay
