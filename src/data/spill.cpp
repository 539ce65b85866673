#include "data/spill.h"

#include <algorithm>
#include <fstream>
#include <memory>
#include <numeric>
#include <queue>

#include <interplay/base/error.h>

namespace fs = std::filesystem;

namespace interplay {
namespace {

constexpr size_t kFanIn = 64;                // runs merged at a time: far below the limit of open files
constexpr size_t kBuffer = size_t{1} << 16;  // bytes of file buffer a run

/// A run: records of u32 length, i64 count and the token's bytes, ascending by bytes.
class RunWriter {
 public:
  explicit RunWriter(const fs::path& file) : file_(file), buffer_(kBuffer) {
    out_.rdbuf()->pubsetbuf(buffer_.data(), std::streamsize(buffer_.size()));
    out_.open(file, std::ios::binary | std::ios::trunc);
  }
  void write(std::string_view token, int64_t count) {
    const auto length = uint32_t(token.size());
    out_.write(reinterpret_cast<const char*>(&length), sizeof length);
    out_.write(reinterpret_cast<const char*>(&count), sizeof count);
    out_.write(token.data(), std::streamsize(token.size()));
  }
  void close() {
    out_.close();
    INTERPLAY_CHECK_DATA(!out_.fail(), "{}: cannot be written; is the disk full?", file_.string());
  }

 private:
  fs::path file_;
  std::vector<char> buffer_;
  std::ofstream out_;
};

class RunReader {
 public:
  explicit RunReader(const fs::path& file) : file_(file), buffer_(kBuffer) {
    in_.rdbuf()->pubsetbuf(buffer_.data(), std::streamsize(buffer_.size()));
    in_.open(file, std::ios::binary);
  }
  bool next() {
    uint32_t length = 0;
    in_.read(reinterpret_cast<char*>(&length), sizeof length);
    if (in_.eof() && in_.gcount() == 0) return false;
    in_.read(reinterpret_cast<char*>(&count), sizeof count);
    token.resize(in_.good() ? length : 0);
    in_.read(token.data(), std::streamsize(token.size()));
    INTERPLAY_CHECK_DATA(in_.good(), "{}: a temporary file was cut while it was in use", file_.string());
    return true;
  }
  std::string token;
  int64_t count = 0;

 private:
  fs::path file_;
  std::vector<char> buffer_;
  std::ifstream in_;
};

template <class Take>
void merge_runs(const std::vector<fs::path>& files, Take&& take) {
  std::vector<std::unique_ptr<RunReader>> runs;
  for (const auto& file : files) {
    auto run = std::make_unique<RunReader>(file);
    if (run->next()) runs.push_back(std::move(run));
  }
  const auto later = [&](size_t a, size_t b) { return runs[a]->token > runs[b]->token; };
  std::priority_queue<size_t, std::vector<size_t>, decltype(later)> heap(later);
  for (size_t i = 0; i < runs.size(); ++i) heap.push(i);
  std::string token;
  int64_t count = 0;
  bool any = false;
  while (!heap.empty()) {
    const size_t first = heap.top();
    heap.pop();
    if (any && runs[first]->token == token) {
      count += runs[first]->count;
    } else {
      if (any) take(std::string_view(token), count);
      std::swap(token, runs[first]->token);
      count = runs[first]->count;
      any = true;
    }
    if (runs[first]->next()) heap.push(first);
  }
  if (any) take(std::string_view(token), count);
}

std::vector<uint32_t> by_bytes(const TokenIndex& tokens) {
  std::vector<uint32_t> order(tokens.size());
  std::iota(order.begin(), order.end(), 0u);
  std::sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) { return tokens.token(a) < tokens.token(b); });
  return order;
}

}  // namespace

TokenCounts::TokenCounts(size_t tables, int64_t memory_bytes, fs::path directory)
    : memory_bytes_(memory_bytes), directory_(std::move(directory)), tables_(tables) {}

TokenCounts::~TokenCounts() {
  std::error_code ignored;
  if (runs_ > 0) fs::remove_all(directory_, ignored);
}

void TokenCounts::keep_within_memory() {
  size_t used = 0;
  for (const Table& t : tables_) used += t.tokens.memory_bytes() + t.counts.capacity() * sizeof(int64_t);
  if (used > size_t(memory_bytes_)) spill();
}

fs::path TokenCounts::new_run() {
  fs::create_directories(directory_);
  return directory_ / fmt::format("{:06}.run", runs_++);
}

void TokenCounts::spill() {
  for (Table& table : tables_) {
    if (table.tokens.size() == 0) continue;
    table.runs.push_back(new_run());
    RunWriter writer(table.runs.back());
    for (const uint32_t i : by_bytes(table.tokens)) writer.write(table.tokens.token(i), table.counts[i]);
    writer.close();
    table.tokens.clear();
    table.counts = {};
  }
}

void TokenCounts::reduce_runs(Table& table) {
  while (table.runs.size() > kFanIn) {
    std::vector<fs::path> merged;
    for (size_t i = 0; i < table.runs.size(); i += kFanIn) {
      const std::vector<fs::path> some(table.runs.begin() + i,
                                       table.runs.begin() + std::min(i + kFanIn, table.runs.size()));
      merged.push_back(new_run());
      RunWriter writer(merged.back());
      merge_runs(some, [&](std::string_view token, int64_t count) { writer.write(token, count); });
      writer.close();
      for (const auto& file : some) fs::remove(file);
    }
    table.runs = std::move(merged);
  }
}

void TokenCounts::merge(size_t index, const std::function<void(std::string_view token, int64_t count)>& take) {
  Table& table = tables_[index];
  if (table.runs.empty()) {
    for (const uint32_t i : by_bytes(table.tokens)) take(table.tokens.token(i), table.counts[i]);
  } else {
    if (table.tokens.size() > 0) {  // what is left becomes the last run
      table.runs.push_back(new_run());
      RunWriter writer(table.runs.back());
      for (const uint32_t i : by_bytes(table.tokens)) writer.write(table.tokens.token(i), table.counts[i]);
      writer.close();
    }
    table.tokens.clear();
    table.counts = {};
    reduce_runs(table);
    merge_runs(table.runs, take);
    for (const auto& file : table.runs) fs::remove(file);
    table.runs.clear();
  }
  table.tokens.clear();
  table.counts = {};
}

}  // namespace interplay
