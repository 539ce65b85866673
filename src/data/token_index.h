#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include <interplay/base/api.h>

namespace interplay {

/// The hash of a token: what hash_buckets and TokenIndex use, equal to hash64() of the same bytes.
uint64_t token_hash(std::string_view token);

/// Distinct tokens, numbered 0, 1, 2, ... as they come. Open addressing over one arena of bytes: about 30 bytes a token
/// beside its text. find() may run from many threads once nobody inserts.
class INTERPLAY_API TokenIndex {
 public:
  static constexpr uint32_t kAbsent = UINT32_MAX;

  void reserve(size_t tokens, size_t bytes);
  uint32_t insert(std::string_view token) { return insert(token, token_hash(token)); }
  uint32_t insert(std::string_view token, uint64_t hash);  ///< the number it has, or gets now
  uint32_t find(std::string_view token) const { return find(token, token_hash(token)); }
  uint32_t find(std::string_view token, uint64_t hash) const;  ///< kAbsent where it is not
  void prefetch(uint64_t hash) const {
    if (!slots_.empty()) __builtin_prefetch(&slots_[hash & mask_]);
  }

  size_t size() const { return ends_.size(); }
  std::string_view token(uint32_t index) const {
    const uint64_t begin = index == 0 ? 0 : ends_[index - 1];
    return {bytes_.data() + begin, size_t(ends_[index] - begin)};
  }
  size_t token_bytes() const { return bytes_.size(); }
  size_t memory_bytes() const;
  void clear();  ///< gives its memory back

 private:
  struct Slot {
    uint32_t hash = 0;
    uint32_t number = 0;  // index + 1; 0 = free
  };
  void grow(size_t slots);

  std::vector<char> bytes_;
  std::vector<uint64_t> ends_;  // token i ends where i+1 begins
  std::vector<Slot> slots_;     // a power of two, at most 2/3 full
  uint64_t mask_ = 0;
};

}  // namespace interplay
