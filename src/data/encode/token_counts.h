#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string_view>
#include <vector>

#include <interplay/base/temporary_file.h>

#include "data/schema/token_index.h"

namespace interplay {

/// Counts tokens of several tables in bounded memory, and gives each a code by which it can be named later. Beyond the
/// bound tables are written as sorted runs, and their codes begin anew: a code holds for its table's epoch. What
/// merge() gives never depends on the bound, nor on the order in which tokens came.
/// Thread safety: tables may be leased from many threads; the rest is for one.
class TokenCounts {
  struct Table;

 public:
  /// Runs go to temporary files in `directory`, which is needed if there are any.
  TokenCounts(size_t tables, int64_t memory_bytes, std::filesystem::path directory);
  TokenCounts(const TokenCounts&) = delete;
  TokenCounts& operator=(const TokenCounts&) = delete;

  /// One table in the hands of one thread.
  class Lease {
   public:
    uint32_t code(std::string_view token) { return code(token, token_hash(token)); }
    uint32_t code(std::string_view token, uint64_t hash) {  ///< 0, 1, ... as tokens come; not counted yet
      const uint32_t code = table_->tokens.insert(token, hash);
      if (code == table_->counts.size()) table_->counts.push_back(0);
      return code;
    }
    void count(uint32_t code, int64_t times = 1) { table_->counts[code] += times; }
    void prefetch(uint64_t hash) const { table_->tokens.prefetch(hash); }
    int64_t epoch() const { return table_->epoch(); }

   private:
    friend class TokenCounts;
    Lease(Table& table, std::unique_lock<std::mutex> lock) : table_(&table), lock_(std::move(lock)) {}
    Table* table_;
    std::unique_lock<std::mutex> lock_;
  };
  Lease lease(size_t table);  ///< waits while another thread has it; begins with a new epoch where memory is short
  std::optional<Lease> try_lease(size_t table);  ///< nothing while another thread has it

  /// Every token counted at least max(least, 1) times, by bytes.
  void merge(size_t table, int64_t least, const std::function<void(std::string_view token, int64_t count)>& take);
  int64_t epochs(size_t table) const { return tables_[table].epoch() + 1; }
  /// The tokens of an epoch with their codes, in any order.
  void each(size_t table, int64_t epoch, const std::function<void(std::string_view token, uint32_t code)>& take) const;
  size_t codes(size_t table, int64_t epoch) const;  ///< how many codes the epoch has given
  void clear(size_t table);                         ///< gives the table's memory back: its last epoch becomes empty
  int64_t runs() const { return runs_; }            ///< written so far

 private:
  struct Run {
    int64_t begin = 0, end = 0;  // bytes in the table's file
    uint32_t tokens = 0;
  };
  struct Table {
    std::mutex mutex;
    TokenIndex tokens;
    std::vector<int64_t, HugePages<int64_t>> counts;  // beside the tokens
    std::vector<Run> runs;
    std::unique_ptr<TemporaryFile> file;  // made by the first run
    size_t bytes = 0;                     // of memory, as the sum over tables knows it
    int64_t epoch() const { return int64_t(runs.size()); }
  };
  void keep_within_memory(Table& table);
  void spill(Table& table);

  int64_t memory_bytes_;
  std::filesystem::path directory_;
  std::vector<Table> tables_;
  std::atomic<int64_t> used_ = 0, runs_ = 0;
};

}  // namespace interplay
