#pragma once

#include <cstdint>

#include <interplay/base/api.h>

namespace interplay {

/// Counter-based random numbers: a value depends on (seed, stream, index) alone, so any thread may compute any of them.
INTERPLAY_API uint64_t random_bits(uint64_t seed, uint64_t stream, uint64_t index);
INTERPLAY_API double random_unit(uint64_t seed, uint64_t stream, uint64_t index);    ///< uniform in [0, 1)
INTERPLAY_API double random_normal(uint64_t seed, uint64_t stream, uint64_t index);  ///< N(0, 1), Box-Muller

/// A pseudo-random permutation of [0, n) in constant memory: a four-round Feistel network over the next power of four,
/// walked until the value falls below n. `at(i)` is a bijection for every seed.
class INTERPLAY_API Permutation {
 public:
  Permutation(uint64_t n, uint64_t seed);
  uint64_t at(uint64_t index) const;
  uint64_t size() const { return n_; }

 private:
  uint64_t n_, seed_, mask_;
  int half_bits_;
};

}  // namespace interplay
