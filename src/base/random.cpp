#include <interplay/base/random.h>

#include <cmath>
#include <numbers>

#include <interplay/base/error.h>

namespace interplay {
namespace {

uint64_t mix(uint64_t x) {  // finaliser of splitmix64 (Steele, Lea, Flood 2014)
  x ^= x >> 30;
  x *= 0xbf58476d1ce4e5b9ULL;
  x ^= x >> 27;
  x *= 0x94d049bb133111ebULL;
  return x ^ (x >> 31);
}

constexpr uint64_t kGolden = 0x9e3779b97f4a7c15ULL;

}  // namespace

uint64_t random_bits(uint64_t seed, uint64_t stream, uint64_t index) {
  return mix(mix(mix(seed + kGolden) ^ (stream * kGolden + 1)) + index * kGolden);
}

double random_unit(uint64_t seed, uint64_t stream, uint64_t index) {
  return double(random_bits(seed, stream, index) >> 11) * 0x1.0p-53;
}

double random_normal(uint64_t seed, uint64_t stream, uint64_t index) {
  const double u = 1.0 - random_unit(seed, stream, 2 * index);  // (0, 1]
  const double v = random_unit(seed, stream, 2 * index + 1);
  return std::sqrt(-2.0 * std::log(u)) * std::cos(2.0 * std::numbers::pi * v);
}

Permutation::Permutation(uint64_t n, uint64_t seed) : n_(n), seed_(seed), half_bits_(1) {
  while (half_bits_ < 32 && (uint64_t{1} << (2 * half_bits_)) < n) ++half_bits_;
  mask_ = (uint64_t{1} << half_bits_) - 1;
}

uint64_t Permutation::at(uint64_t index) const {
  INTERPLAY_ASSERT(index < n_);
  do {
    uint64_t left = index >> half_bits_, right = index & mask_;
    for (uint64_t round = 0; round < 4; ++round) {
      const uint64_t next = left ^ (random_bits(seed_, round, right) & mask_);
      left = right;
      right = next;
    }
    index = (left << half_bits_) | right;
  } while (index >= n_);
  return index;
}

}  // namespace interplay
