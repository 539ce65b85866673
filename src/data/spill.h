#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string_view>
#include <vector>

#include "data/token_index.h"

namespace interplay {

/// Counts tokens of several tables in bounded memory. Beyond the bound every table is written as a sorted run, and
/// merge() joins the runs: what comes out never depends on the bound. Used by one thread.
class TokenCounts {
 public:
  /// Runs are put below `directory`, which is made when the first is written and removed at the end.
  TokenCounts(size_t tables, int64_t memory_bytes, std::filesystem::path directory);
  ~TokenCounts();
  TokenCounts(const TokenCounts&) = delete;
  TokenCounts& operator=(const TokenCounts&) = delete;

  void add(size_t table, std::string_view token, int64_t count = 1) { add(table, token, token_hash(token), count); }
  void add(size_t table, std::string_view token, uint64_t hash, int64_t count) {
    Table& t = tables_[table];
    const uint32_t index = t.tokens.insert(token, hash);
    if (index == t.counts.size()) t.counts.push_back(0);
    t.counts[index] += count;
  }
  void prefetch(size_t table, uint64_t hash) const { tables_[table].tokens.prefetch(hash); }
  void keep_within_memory();  ///< spills if the bound is passed; called now and then

  /// Every token of a table with its count, by bytes; the table is empty afterwards.
  void merge(size_t table, const std::function<void(std::string_view token, int64_t count)>& take);
  int64_t runs() const { return runs_; }  ///< written so far

 private:
  struct Table {
    TokenIndex tokens;
    std::vector<int64_t> counts;  // beside the tokens
    std::vector<std::filesystem::path> runs;
  };
  void spill();
  std::filesystem::path new_run();
  void reduce_runs(Table& table);
  int64_t memory_bytes_;
  std::filesystem::path directory_;
  std::vector<Table> tables_;
  int64_t runs_ = 0;
};

}  // namespace interplay
