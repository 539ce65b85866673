#pragma once

#include <cstddef>
#include <cstdint>
#include <queue>
#include <unordered_map>
#include <utility>

namespace interplay {

/// Of any number of distinct things, those with the smallest hashes, each with what is counted of it: a random part of
/// all that is distinct, whose counts are exact (Bar-Yossef et al. 2002). Below `most` things it holds them all.
template <class Value>
class SmallestHashes {
 public:
  explicit SmallestHashes(size_t most) : most_(most) {}

  /// What is kept of a thing; null where its hash is too large. Valid until the next call.
  Value* at(uint64_t hash) {
    if (hash > limit_) return nullptr;
    const auto [it, fresh] = kept_.try_emplace(hash);
    if (!fresh) return &it->second;
    hashes_.push(hash);
    if (hashes_.size() <= most_) return &it->second;
    const uint64_t largest = hashes_.top();
    hashes_.pop();
    limit_ = hashes_.top();
    Value* const value = largest == hash ? nullptr : &it->second;
    kept_.erase(largest);
    return value;
  }
  bool is_whole() const { return limit_ == UINT64_MAX; }  ///< nothing was left out
  double distinct() const {                               ///< how many things there are, within 1/sqrt(most)
    return is_whole() ? double(kept_.size()) : double(most_ - 1) / (double(limit_) * 0x1p-64);
  }
  const std::unordered_map<uint64_t, Value>& kept() const { return kept_; }

 private:
  size_t most_;
  uint64_t limit_ = UINT64_MAX;
  std::unordered_map<uint64_t, Value> kept_;
  std::priority_queue<uint64_t> hashes_;
};

}  // namespace interplay
