#include "optim/resting_rows.h"

#include <algorithm>
#include <numeric>

#include <interplay/base/tasks.h>
#include <interplay/nn/sorted_reads.h>
#include <interplay/nn/table_storage.h>

namespace interplay {
namespace {

constexpr int64_t kMostKept = 256;  // steps; a row that is read moves by as many at most
constexpr int64_t kRestingPerTask = 4096;

UpdateRule::Rows rows_of(const nn::TableStorage& t, int64_t first, int64_t count, const int32_t* index = nullptr) {
  return {t.data() + first * t.stride(),
          nullptr,
          t.state_data() + first * t.stride(),
          count,
          t.width(),
          t.stride(),
          t.stride(),
          index};
}

}  // namespace

RestingRows::RestingRows(std::vector<nn::TableStorage*> tables, std::unique_ptr<UpdateRule::Rest> rest)
    : mutexes_(tables.size()), rest_(std::move(rest)) {
  for (auto* table : tables) {
    places_[table] = tables_.size();
    tables_.push_back({table, std::vector<int32_t>(size_t(table->rows()), 0)});
  }
}

size_t RestingRows::find(const nn::TableStorage& table) const { return places_.at(&table); }

void RestingRows::stepped(const StepInfo& step, const std::vector<nn::TableStorage*>& touched) {
  rest_->add(step);
  const auto now = int32_t(rest_->steps());
  run_tasks(int64_t(touched.size()), [&](int64_t i) {
    Table& table = tables_[find(*touched[size_t(i)])];
    for (const int32_t row : table.storage->touched_rows()) table.taken[size_t(row)] = now;
  });
  if (now >= kMostKept) refresh_all();
}

void RestingRows::refresh(const nn::TableStorage& storage, const int32_t* ids, int64_t stride, int64_t count) {
  const auto now = int32_t(rest_->steps());
  if (now == 0 || !storage.device().is_cpu()) return;
  const size_t place = find(storage);
  const std::lock_guard lock(mutexes_[place]);
  Table& table = tables_[place];
  thread_local std::vector<int32_t> rows, taken;
  rows.clear(), taken.clear();
  constexpr int64_t kAhead = 32;  // reads whose steps are on their way
  for (int64_t i = 0; i < count; ++i) {
    const int32_t row = ids[i * stride];
    if (uint32_t(row) >= table.taken.size()) nn::check_ids(&row, 1, storage.rows());
    if (i + kAhead < count) __builtin_prefetch(&table.taken[size_t(ids[(i + kAhead) * stride])], 1, 3);
    if (row == 0 || table.taken[size_t(row)] == now) continue;  // 0: padding never moves
    rows.push_back(row);
    taken.push_back(std::exchange(table.taken[size_t(row)], now));
    const auto* const at = reinterpret_cast<const char*>(storage.row_data() + int64_t(row) * storage.stride());
    for (int64_t byte = 0; byte < storage.stride() * int64_t(sizeof(float)); byte += 64)
      __builtin_prefetch(at + byte, 1, 2);
  }
  rest_->move(rows_of(storage, 0, int64_t(rows.size()), rows.data()), taken.data());
}

/// Rows one behind the other, padding not among them.
void RestingRows::refresh_rows(Table& table, int64_t first, int64_t count) {
  int32_t* const taken = table.taken.data() + first;
  rest_->move(rows_of(*table.storage, first, count), taken);
  std::fill_n(taken, count, int32_t(rest_->steps()));
}

void RestingRows::refresh_tables(const std::vector<size_t>& which) {
  if (rest_->steps() == 0) return;
  std::vector<std::unique_lock<std::mutex>> locks;
  struct Stretch {
    Table* table;
    int64_t first, count;
  };
  std::vector<Stretch> work;
  for (const size_t place : which) {
    locks.emplace_back(mutexes_[place]);
    Table& table = tables_[place];
    if (!table.storage->device().is_cpu()) continue;
    const int64_t rows = table.storage->rows();
    for (int64_t first = 1; first < rows; first += kRestingPerTask)
      work.push_back({&table, first, std::min(kRestingPerTask, rows - first)});
  }
  run_tasks(int64_t(work.size()), [&](int64_t i) {
    const auto& [table, first, count] = work[size_t(i)];
    refresh_rows(*table, first, count);
  });
}

void RestingRows::refresh_all(const nn::TableStorage& storage) { refresh_tables({find(storage)}); }

void RestingRows::refresh_all() {
  std::vector<size_t> all(tables_.size());
  std::iota(all.begin(), all.end(), size_t(0));
  refresh_tables(all);
  rest_->clear();
  for (auto& table : tables_) std::fill(table.taken.begin(), table.taken.end(), 0);
}

}  // namespace interplay
