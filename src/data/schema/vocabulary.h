#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "data/schema/token_index.h"

namespace interplay {

/// The tokens of one table and their ids: 1..n, in the order they were added. Immutable once built, then free to use
/// from many threads.
class INTERPLAY_API Vocabulary {
 public:
  void reserve(size_t tokens, size_t bytes);
  void add(std::string_view token, int64_t count);  ///< gets the next id; a token that is known already is an error

  int64_t size() const { return int64_t(counts_.size()); }
  int64_t rows() const { return size() + 2; }  ///< of the table: padding, the tokens, unseen
  int32_t id(std::string_view token) const { return id(token, token_hash(token)); }
  int32_t id(std::string_view token, uint64_t hash) const {  ///< that of unseen where it is not
    const uint32_t index = tokens_.find(token, hash);
    return index == TokenIndex::kAbsent ? int32_t(size() + 1) : int32_t(index + 1);
  }
  void prefetch(uint64_t hash) const { tokens_.prefetch(hash); }
  bool has(std::string_view token) const { return tokens_.find(token) != TokenIndex::kAbsent; }
  std::string_view token(int64_t id) const;  ///< "" for padding, unseen and beyond
  int64_t count(int64_t id) const { return counts_[size_t(id - 1)]; }
  void count_more(int64_t id, int64_t count) { counts_[size_t(id - 1)] += count; }
  std::string checksum() const;  ///< of the tokens in order, 16 hex digits

  void save(const std::filesystem::path& file) const;  ///< Parquet: token, count, id
  static Vocabulary load(
      const std::filesystem::path& file);  ///< throws Error(data) on anything that is not such a file

 private:
  TokenIndex tokens_;
  std::vector<int64_t> counts_;
};

}  // namespace interplay
