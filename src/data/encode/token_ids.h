#pragma once

#include <algorithm>
#include <cstdint>
#include <string_view>

#include "data/schema/token_index.h"
#include "data/schema/vocabulary.h"

namespace interplay {

/// Ids of a table's tokens, by its vocabulary or by hash.
class TokenIds {
 public:
  TokenIds() = default;
  TokenIds(const Vocabulary* vocabulary, int64_t hash_buckets, int64_t rows)
      : vocabulary_(vocabulary), buckets_(uint64_t(hash_buckets)), unseen_(int32_t(rows - 1)) {}

  int32_t unseen() const { return unseen_; }
  int32_t id(std::string_view token) const { return token.empty() ? unseen_ : id(token, token_hash(token)); }
  /// Of many tokens, to out[i * stride]. token_at(i) is called once for each, in order. Hashes come first, so that the
  /// slots are on their way from memory when they are needed.
  template <class TokenAt>
  void ids(int64_t count, TokenAt token_at, int32_t* out, int64_t stride) const {
    constexpr int64_t kBlock = 256;
    uint64_t hashes[kBlock];
    std::string_view tokens[kBlock];
    for (int64_t first = 0; first < count; first += kBlock) {
      const int64_t n = std::min(kBlock, count - first);
      for (int64_t i = 0; i < n; ++i) {
        tokens[i] = token_at(first + i);
        hashes[i] = token_hash(tokens[i]);
        if (vocabulary_) vocabulary_->prefetch(hashes[i]);
      }
      for (int64_t i = 0; i < n; ++i)
        out[(first + i) * stride] = tokens[i].empty() ? unseen_ : id(tokens[i], hashes[i]);
    }
  }

 private:
  int32_t id(std::string_view token, uint64_t hash) const {
    return vocabulary_ ? vocabulary_->id(token, hash) : int32_t(1 + hash % buckets_);
  }
  const Vocabulary* vocabulary_ = nullptr;
  uint64_t buckets_ = 0;
  int32_t unseen_ = 0;
};

}  // namespace interplay
