#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include <interplay/base/api.h>

namespace interplay {

/// Draws from a discrete distribution in constant time (Walker 1977, "An efficient method for generating discrete
/// random variables with general distributions"; made as by Vose 1991). A draw falls on a place, all places alike, and
/// keeps it with the place's own probability, else takes its alias.
///
///     const AliasTable table(std::vector<double>{1, 2, 1});
///     table.draw(random_unit(seed, 0, i), random_unit(seed, 1, i));  // 1 half of the time
///
/// Immutable: may be used from any thread.
class INTERPLAY_API AliasTable {
 public:
  /// Throws Error unless weights are finite, none is below 0 and one is above. They need not sum to 1.
  explicit AliasTable(std::span<const double> weights);

  /// `place` and `coin`: independent and uniform in [0, 1).
  int64_t draw(double place, double coin) const {
    const auto i = int64_t(place * double(keep_.size()));
    return coin < keep_[size_t(i)] ? i : alias_[size_t(i)];
  }

  int64_t size() const { return int64_t(keep_.size()); }
  std::span<const double> keep() const { return keep_; }     ///< how likely a place is kept
  std::span<const int64_t> alias() const { return alias_; }  ///< what is taken where it is not

 private:
  std::vector<double> keep_;
  std::vector<int64_t> alias_;
};

}  // namespace interplay
