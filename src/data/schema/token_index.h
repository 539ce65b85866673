#pragma once

#include <cstdint>
#include <cstring>
#include <string_view>
#include <vector>

#define XXH_INLINE_ALL  // most tokens are short: the call would cost as much as the hash
#include <xxhash.h>

#include <interplay/base/api.h>

#include <interplay/base/huge_pages.h>

namespace interplay {

/// The hash of a token: what hash_buckets and TokenIndex use, equal to hash64() of the same bytes.
inline uint64_t token_hash(std::string_view token) { return XXH3_64bits(token.data(), token.size()); }

/// Distinct tokens, numbered 0, 1, 2, ... as they come. Open addressing; a token of up to 8 bytes lies in its slot, so
/// that finding it touches memory once. About 45 bytes a token beside its text. find() may run from many threads once
/// nobody inserts.
class INTERPLAY_API TokenIndex {
 public:
  static constexpr uint32_t kAbsent = UINT32_MAX;

  void reserve(size_t tokens, size_t bytes);
  uint32_t insert(std::string_view token) { return insert(token, token_hash(token)); }
  uint32_t insert(std::string_view token, uint64_t hash);  ///< the number it has, or gets now
  uint32_t find(std::string_view token) const { return find(token, token_hash(token)); }
  uint32_t find(std::string_view token, uint64_t hash) const {  ///< kAbsent where it is not
    if (slots_.empty()) return kAbsent;
    const Key key(token);
    for (uint64_t at = hash & mask_;; at = (at + 1) & mask_) {
      const Slot& slot = slots_[at];
      if (slot.number == 0) return kAbsent;
      if (holds(slot, key, token, hash)) return slot.index();
    }
  }
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
  static constexpr uint32_t kLong = uint32_t{1} << 31;

  /// What a slot says of its token.
  struct Key {
    explicit Key(std::string_view token) {
      if (token.size() <= 8 && !token.empty() && token.back() != '\0') {
        std::memcpy(&inlined, token.data(), token.size());  // padded with zeros, so its length shows
      } else {
        flag = kLong;
      }
    }
    uint64_t inlined = 0;
    uint32_t flag = 0;
  };
  struct Slot {
    uint64_t inlined = 0;  // the token where it is short
    uint32_t hash = 0;
    uint32_t number = 0;  // index + 1, and kLong; 0 = free
    uint32_t index() const { return (number & ~kLong) - 1; }
  };
  bool holds(const Slot& slot, const Key& key, std::string_view token, uint64_t hash) const {
    return slot.hash == uint32_t(hash) && slot.inlined == key.inlined && (slot.number & kLong) == key.flag &&
           (key.flag == 0 || this->token(slot.index()) == token);
  }
  using Slots = std::vector<Slot, HugePages<Slot>>;
  void grow(size_t slots);

  std::vector<char> bytes_;
  std::vector<uint64_t> ends_;  // token i ends where i+1 begins
  Slots slots_;                 // a power of two, at most 2/3 full
  uint64_t mask_ = 0;
};

}  // namespace interplay
