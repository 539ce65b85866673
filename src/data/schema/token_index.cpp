#include "data/schema/token_index.h"

#include <bit>

#include <interplay/base/error.h>

namespace interplay {

void TokenIndex::reserve(size_t tokens, size_t bytes) {
  ends_.reserve(tokens);
  bytes_.reserve(bytes);
  const size_t slots = std::bit_ceil(tokens + tokens / 2 + 16);
  if (slots > slots_.size()) grow(slots);
}

uint32_t TokenIndex::insert(std::string_view token, uint64_t hash) {
  if ((ends_.size() + 1) * 3 > slots_.size() * 2) grow(slots_.empty() ? 64 : slots_.size() * 2);
  const Key key(token);
  uint64_t at = hash & mask_;
  for (; slots_[at].number != 0; at = (at + 1) & mask_) {
    if (holds(slots_[at], key, token, hash)) return slots_[at].index();
  }
  INTERPLAY_CHECK_DATA(ends_.size() < (size_t{1} << 31) - 4,
                       "one column has over 2^31 distinct tokens; give its field hash_buckets");
  bytes_.insert(bytes_.end(), token.begin(), token.end());
  ends_.push_back(bytes_.size());
  slots_[at] = {key.inlined, uint32_t(hash), uint32_t(ends_.size()) | key.flag};
  return uint32_t(ends_.size() - 1);
}

void TokenIndex::grow(size_t slots) {
  Slots old(slots);
  old.swap(slots_);
  mask_ = slots - 1;
  // Up to 2^32 slots, so the 32 bits kept of each hash are all that its place needs.
  for (const Slot& slot : old) {
    if (slot.number == 0) continue;
    uint64_t at = slot.hash & mask_;
    while (slots_[at].number != 0) at = (at + 1) & mask_;
    slots_[at] = slot;
  }
}

size_t TokenIndex::memory_bytes() const {
  return bytes_.capacity() + ends_.capacity() * sizeof(uint64_t) + slots_.size() * sizeof(Slot);
}

void TokenIndex::clear() { *this = TokenIndex(); }

}  // namespace interplay
