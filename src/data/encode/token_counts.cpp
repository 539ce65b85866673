#include "data/encode/token_counts.h"

#include <algorithm>
#include <cstring>
#include <memory>
#include <queue>
#include <utility>

#include <interplay/base/error.h>

namespace fs = std::filesystem;

namespace interplay {
namespace {

constexpr size_t kBuffer = size_t{1} << 18;         // bytes written at a time
constexpr size_t kMergeBuffers = size_t{16} << 20;  // bytes of all runs that are merged, if they are not very many
constexpr size_t kLeastBuffer = size_t{1} << 12;

/// A run: records of u32 length, u32 code, i64 count and the token's bytes, ascending by bytes.
struct RecordHead {
  uint32_t length = 0, code = 0;
  int64_t count = 0;
};

class RunWriter {
 public:
  RunWriter(TemporaryFile& file, int64_t end) : file_(file), end_(end) { buffer_.reserve(kBuffer); }
  void write(std::string_view token, uint32_t code, int64_t count) {
    if (buffer_.size() + sizeof(RecordHead) + token.size() > kBuffer) flush();
    const RecordHead head{uint32_t(token.size()), code, count};
    const auto* const bytes = reinterpret_cast<const char*>(&head);
    buffer_.insert(buffer_.end(), bytes, bytes + sizeof head);
    buffer_.insert(buffer_.end(), token.begin(), token.end());
  }
  int64_t finish() { return flush(), end_; }

 private:
  void flush() {
    file_.write(buffer_, end_);
    end_ += int64_t(buffer_.size());
    buffer_.clear();
  }
  TemporaryFile& file_;
  int64_t end_;
  std::vector<char> buffer_;
};

class RunReader {
 public:
  RunReader(const TemporaryFile& file, int64_t begin, int64_t end, size_t buffer)
      : file_(file), at_(begin), end_(end), buffer_(buffer) {}
  bool next() {
    if (have_ == used_ && at_ == end_) return false;
    RecordHead head;
    read(reinterpret_cast<char*>(&head), sizeof head);
    code = head.code;
    count = head.count;
    token.resize(head.length);
    read(token.data(), token.size());
    return true;
  }
  std::string token;
  uint32_t code = 0;
  int64_t count = 0;

 private:
  void read(char* to, size_t bytes) {
    while (bytes > 0) {
      if (used_ == have_) fill();
      const size_t some = std::min(bytes, have_ - used_);
      std::memcpy(to, buffer_.data() + used_, some);
      used_ += some;
      to += some;
      bytes -= some;
    }
  }
  void fill() {
    have_ = size_t(std::min<int64_t>(int64_t(buffer_.size()), end_ - at_));
    file_.read({buffer_.data(), have_}, at_);
    at_ += int64_t(have_);
    used_ = 0;
  }
  const TemporaryFile& file_;
  int64_t at_, end_;
  std::vector<char> buffer_;
  size_t used_ = 0, have_ = 0;
};

/// The tokens that `keep` says, by bytes. The first eight decide nearly always, and are compared as one number.
template <class Keep>
std::vector<uint32_t> by_bytes(const TokenIndex& tokens, Keep&& keep) {
  struct Key {
    uint64_t first;
    uint32_t index;
  };
  std::vector<Key> keys;
  for (uint32_t i = 0; i < tokens.size(); ++i) {
    if (!keep(i)) continue;
    const std::string_view token = tokens.token(i);
    unsigned char first[8] = {};
    std::memcpy(first, token.data(), std::min<size_t>(token.size(), 8));
    uint64_t number = 0;
    for (const unsigned char byte : first) number = number << 8 | byte;
    keys.push_back({number, i});
  }
  std::sort(keys.begin(), keys.end(), [&](const Key& a, const Key& b) {
    return a.first != b.first ? a.first < b.first : tokens.token(a.index) < tokens.token(b.index);
  });
  std::vector<uint32_t> order;
  order.reserve(keys.size());
  for (const Key& key : keys) order.push_back(key.index);
  return order;
}

}  // namespace

TokenCounts::TokenCounts(size_t tables, int64_t memory_bytes, fs::path directory)
    : memory_bytes_(memory_bytes), directory_(std::move(directory)), tables_(tables) {}

TokenCounts::Lease TokenCounts::lease(size_t index) {
  Table& table = tables_[index];
  std::unique_lock lock(table.mutex);
  keep_within_memory(table);
  return Lease(table, std::move(lock));
}

std::optional<TokenCounts::Lease> TokenCounts::try_lease(size_t index) {
  Table& table = tables_[index];
  std::unique_lock lock(table.mutex, std::try_to_lock);
  if (!lock.owns_lock()) return std::nullopt;
  keep_within_memory(table);
  return Lease(table, std::move(lock));
}

/// Only the larger tables are worth a run; one of them is at least as large as the mean.
void TokenCounts::keep_within_memory(Table& table) {
  const auto measure = [&] {
    const size_t before =
        std::exchange(table.bytes, table.tokens.memory_bytes() + table.counts.capacity() * sizeof(int64_t));
    return used_ += int64_t(table.bytes) - int64_t(before);
  };
  const int64_t used = measure();
  if (used <= memory_bytes_ || table.tokens.size() == 0) return;
  if (double(table.bytes) * double(tables_.size()) < double(used)) return;
  spill(table);
  measure();
}

void TokenCounts::spill(Table& table) {
  if (!table.file) table.file = std::make_unique<TemporaryFile>(directory_);
  Run run;
  run.begin = run.end = table.runs.empty() ? 0 : table.runs.back().end;
  run.tokens = uint32_t(table.tokens.size());
  RunWriter writer(*table.file, run.end);
  for (const uint32_t i : by_bytes(table.tokens, [](uint32_t) { return true; })) {
    writer.write(table.tokens.token(i), i, table.counts[i]);
  }
  run.end = writer.finish();
  table.runs.push_back(run);
  table.tokens.clear();
  table.counts = {};
  ++runs_;
}

void TokenCounts::merge(size_t index, int64_t least,
                        const std::function<void(std::string_view token, int64_t count)>& take) {
  Table& table = tables_[index];
  least = std::max<int64_t>(least, 1);
  if (table.runs.empty()) {
    for (const uint32_t i : by_bytes(table.tokens, [&](uint32_t i) { return table.counts[i] >= least; })) {
      take(table.tokens.token(i), table.counts[i]);
    }
    return;
  }
  if (table.tokens.size() > 0) spill(table);  // what is left becomes the last run
  std::vector<std::unique_ptr<RunReader>> runs;
  const size_t buffer = std::clamp(kMergeBuffers / table.runs.size(), kLeastBuffer, kBuffer);
  for (const Run& run : table.runs) {
    auto reader = std::make_unique<RunReader>(*table.file, run.begin, run.end, buffer);
    if (reader->next()) runs.push_back(std::move(reader));
  }
  const auto later = [&](size_t a, size_t b) { return runs[a]->token > runs[b]->token; };
  std::priority_queue<size_t, std::vector<size_t>, decltype(later)> heap(later);
  for (size_t i = 0; i < runs.size(); ++i) heap.push(i);
  std::string token;
  while (!heap.empty()) {
    int64_t count = 0;
    token = runs[heap.top()]->token;
    while (!heap.empty() && runs[heap.top()]->token == token) {
      const size_t first = heap.top();
      heap.pop();
      count += runs[first]->count;
      if (runs[first]->next()) heap.push(first);
    }
    if (count >= least) take(token, count);
  }
}

void TokenCounts::each(size_t index, int64_t epoch,
                       const std::function<void(std::string_view token, uint32_t code)>& take) const {
  const Table& table = tables_[index];
  if (epoch == table.epoch()) {
    for (uint32_t i = 0; i < table.tokens.size(); ++i) take(table.tokens.token(i), i);
    return;
  }
  const Run& run = table.runs[size_t(epoch)];
  RunReader reader(*table.file, run.begin, run.end, kBuffer);
  while (reader.next()) take(reader.token, reader.code);
}

size_t TokenCounts::codes(size_t index, int64_t epoch) const {
  const Table& table = tables_[index];
  return epoch == table.epoch() ? table.tokens.size() : table.runs[size_t(epoch)].tokens;
}

void TokenCounts::clear(size_t index) {
  tables_[index].tokens.clear();
  tables_[index].counts = {};
}

}  // namespace interplay
