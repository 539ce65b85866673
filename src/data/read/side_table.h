#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include <interplay/data/raw_batch.h>
#include <interplay/data/reader.h>

namespace interplay {

/// A table that has one row a key, as that of the users or of the items, wholly in memory.
/// Thread safety: const functions may run concurrently.
class SideTable {
 public:
  explicit SideTable(std::string key) : key_(std::move(key)) {}
  const std::string& key() const { return key_; }

  /// Takes every batch that `next` gives, with these columns and then the key. A second row for a key is told to
  /// `bad_rows`.
  void load(const std::vector<std::string>& columns, const std::function<bool(RawBatch&)>& next, BadRows& bad_rows);
  /// Adds the loaded columns to a batch that has the key; a key without a row gets missing cells.
  void join(RawBatch& batch) const;

 private:
  std::string key_;
  RawBatch table_;
  RawColumn keys_;
  std::unordered_map<std::string_view, int64_t> rows_;  // views into keys_
};

}  // namespace interplay
