#include <interplay/nn/table_storage.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <tuple>
#include <utility>

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <interplay/base/error.h>
#include <interplay/base/stages.h>
#include <interplay/base/tasks.h>
#include <interplay/nn/sorted_reads.h>

#include "nn/table/row_memory.h"
#include "nn/table/written_gradient.h"

namespace interplay::nn {
namespace {

constexpr int64_t kPaddingRow = 0;  // id of an absent value: its vector is zero and never trained
constexpr int64_t kRowsPerTask = 2048;

/// Rows of `floats` of a RowMemory that lives as long as the tensor does.
at::Tensor rows_of(const std::shared_ptr<RowMemory>& memory, int64_t offset, int64_t rows, int64_t stride) {
  return at::from_blob(
      memory->data() + offset, {rows, stride}, [memory](void*) {}, at::TensorOptions().dtype(at::kFloat));
}

/// Moves rows [R, K] to another place. Where `consume`, the old ones are given back on the way, so that a large table
/// never lies in memory twice.
void move_rows(const float* from, int64_t from_stride, float* to, int64_t to_stride, int64_t rows, int64_t width,
               bool consume) {
  const int64_t step = std::max<int64_t>(1, (int64_t(16) << 20) / from_stride);
  for (int64_t first = 0; first < rows; first += step) {
    const int64_t last = std::min(rows, first + step);
    at::parallel_for(first, last, kRowsPerTask, [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r)
        std::memcpy(to + r * to_stride, from + r * from_stride, size_t(width) * sizeof(float));
    });
    if (consume)
      give_back(const_cast<float*>(from) + first * from_stride, (last - first) * from_stride * int64_t(sizeof(float)));
  }
}

}  // namespace

TableStorage::TableStorage(int64_t rows, int64_t width) : rows_(rows), width_(width) {
  INTERPLAY_CHECK(rows >= 1 && width >= 1, "embedding table: {} rows x {}; both must be at least 1", rows, width);
  place(rows_of(std::make_shared<RowMemory>(rows * width), 0, rows, width), 0, width, 0);
}

TableStorage::~TableStorage() = default;
StaleRows::~StaleRows() = default;

void TableStorage::place(at::Tensor storage, int64_t weight_at, int64_t state_at, int64_t state_width) {
  storage_ = std::move(storage);
  weight_at_ = weight_at, state_at_ = state_at, state_width_ = state_width;
  stride_ = storage_.size(1);
  data_ = storage_.device().is_cpu() ? storage_.mutable_data_ptr<float>() + weight_at_ : nullptr;
}

void TableStorage::borrow(const at::Tensor& rows) {
  INTERPLAY_CHECK(rows.dim() == 2 && rows.size(0) == rows_ && rows.size(1) == width_ && rows.is_contiguous() &&
                      rows.scalar_type() == at::kFloat && rows.device().is_cpu(),
                  "embedding table of {} rows x {}: cannot borrow rows of another shape or type", rows_, width_);
  place(rows, 0, width_, 0);
}

void TableStorage::set_stale(std::shared_ptr<StaleRows> stale) {
  if (stale_ && stale_ != stale) stale_->refresh_all(*this);
  stale_ = std::move(stale);
}

at::Tensor TableStorage::weight() const {
  if (stale_) stale_->refresh_all(*this);
  return storage_.narrow(1, weight_at_, width_);
}

at::Tensor TableStorage::state() const {
  if (stale_) stale_->refresh_all(*this);
  return storage_.narrow(1, state_at_, state_width_);
}

void TableStorage::refresh(const at::Tensor& ids, std::span<const TableStorage* const> tables) {
  std::map<const TableStorage*, std::vector<size_t>> columns;  // of one table: one after the other
  for (size_t f = 0; f < tables.size(); ++f) {
    if (tables[f]->stale_) columns[tables[f]].push_back(f);
  }
  if (columns.empty()) return;
  const StageScope stage(Stage::row_update);
  const std::vector<std::pair<const TableStorage*, std::vector<size_t>>> work(columns.begin(), columns.end());
  const int32_t* const data = ids.const_data_ptr<int32_t>();
  run_tasks(int64_t(work.size()), [&](int64_t i) {
    const auto& [table, own] = work[size_t(i)];
    for (const size_t f : own)
      table->stale_->refresh(*table, data + int64_t(f) * ids.stride(1), ids.stride(0), ids.size(0));
  });
}

void TableStorage::reserve_state(int64_t width) { arrange({{{this, width}}}); }

void TableStorage::arrange(const std::vector<std::vector<Place>>& joint) {
  constexpr int64_t kLine = 16;  // floats
  struct Row {
    const std::vector<Place>* places;
    int64_t weights = 0, stride = 0, offset = 0;
    bool stands = true;
  };
  std::vector<Row> rows;
  int64_t floats = 0;
  for (const auto& places : joint) {
    for (const auto& p : places) {
      if (p.table->stale_) p.table->stale_->refresh_all(*p.table);
    }
    if (!places.front().table->device().is_cpu()) {
      for (const auto& [table, state_width] : places) {
        const auto state = at::zeros({table->rows_, state_width}, table->storage_.options());
        table->place(at::cat({table->weight(), state}, 1), 0, table->width_, state_width);
      }
      continue;
    }
    Row row{&places};
    for (const auto& p : places) row.weights += p.table->width_;
    row.stride = row.weights;
    for (const auto& p : places) row.stride += p.state_width;
    int64_t weight_at = 0, state_at = row.weights;
    for (const auto& [table, state_width] : places) {
      INTERPLAY_ASSERT(table->rows_ == places.front().table->rows_);
      row.stands = row.stands && table->is_joint_with(*places.front().table) && table->stride_ == row.stride &&
                   table->weight_at_ == weight_at && table->state_at_ == state_at && table->state_width_ == state_width;
      weight_at += table->width_, state_at += state_width;
    }
    row.offset = floats;
    if (!row.stands) floats += (places.front().table->rows_ * row.stride + kLine - 1) / kLine * kLine;
    rows.push_back(row);
  }
  const auto memory = floats > 0 ? std::make_shared<RowMemory>(floats) : nullptr;
  for (const auto& row : rows) {
    const int64_t count = row.places->front().table->rows_;
    at::Tensor storage;
    if (!row.stands) storage = rows_of(memory, row.offset, count, row.stride);
    int64_t weight_at = 0, state_at = row.weights;
    for (const auto& [table, state_width] : *row.places) {
      if (row.stands) {
        if (state_width > 0) table->state().zero_();
        continue;
      }
      const bool alone = table->stride_ == table->width_ && table->storage_.storage().use_count() == 1;
      move_rows(table->data_, table->stride_, storage.mutable_data_ptr<float>() + weight_at, row.stride, count,
                table->width_, alone);
      table->place(storage, weight_at, state_at, state_width);
      weight_at += table->width_, state_at += state_width;
    }
  }
}

void TableStorage::to(at::Device device) {
  if (storage_.device() == device) return;
  auto rows = at::cat({weight(), state()}, 1);
  if (device.is_cpu()) {
    auto here = rows_of(std::make_shared<RowMemory>(rows.numel()), 0, rows_, rows.size(1));
    here.copy_(rows);
    rows = here;
  }
  place(rows.to(device), 0, width_, state_width_);
}

void TableStorage::record(at::Tensor ids, at::Tensor grad) {
  record(std::move(ids), written_gradient(std::move(grad)));
}

void TableStorage::record(at::Tensor ids, std::shared_ptr<const RowGradient> gradient) {
  const bool cpu = ids.device().is_cpu();
  const auto* const data = cpu ? ids.const_data_ptr<int32_t>() : nullptr;
  const int64_t stride = ids.stride(0), count = ids.size(0);
  tape_.push_back({std::move(ids), -1, data, stride, count, std::move(gradient), nullptr, {}});
}

void TableStorage::record(const at::Tensor& ids, int64_t column, std::shared_ptr<const RowGradient> gradient) {
  const auto* const data = ids.device().is_cpu() ? ids.const_data_ptr<int32_t>() + column * ids.stride(1) : nullptr;
  tape_.push_back({ids, column, data, ids.stride(0), ids.size(0), std::move(gradient), nullptr, {}});
}

void TableStorage::clear() {
  tape_.clear();
  merged_.clear();
}

bool TableStorage::has_common_reads() const {
  return std::all_of(tape_.begin(), tape_.end(), [&](const Entry& e) { return e.reads == tape_.front().reads; });
}

const SortedReads* TableStorage::common_reads() const {
  return tape_.empty() || !merged_.empty() ? nullptr : tape_.front().reads.get();
}

/// The rows of entries that read different columns, and where each entry's rows are among them.
void TableStorage::merge_entries() {
  merged_.clear();
  for (const auto& entry : tape_) merged_.insert(merged_.end(), entry.reads->rows.begin(), entry.reads->rows.end());
  std::sort(merged_.begin(), merged_.end());
  merged_.erase(std::unique(merged_.begin(), merged_.end()), merged_.end());
  for (auto& entry : tape_) {
    entry.target.clear();
    size_t at = 0;
    for (const int32_t row : entry.reads->rows) {
      while (merged_[at] != row) ++at;
      entry.target.push_back(int32_t(at));
    }
  }
}

void TableStorage::sort(const std::vector<TableStorage*>& tables) {
  struct Column {
    const Entry* first;
    int64_t table_rows, room_at;
  };
  using Key = std::tuple<const void*, int64_t, int64_t>;
  std::map<Key, size_t> known;
  std::vector<Column> columns;
  std::vector<std::pair<Entry*, size_t>> entries;
  for (auto* table : tables) {
    for (auto& entry : table->tape_) {
      const auto [it, fresh] = known.try_emplace(Key(entry.data, entry.stride, entry.count), columns.size());
      if (fresh) columns.push_back({&entry, table->rows(), 0});
      auto& column = columns[it->second];
      column.table_rows = std::min(column.table_rows, table->rows());  // its ids have to be in all that read them
      entries.emplace_back(&entry, it->second);
    }
  }
  int64_t room = 0;
  for (auto& column : columns) column.room_at = room, room += SortedReads::room(column.first->count);
  // One piece of memory for all: freed as many small ones, it would go back to the system at every step.
  struct Sorted {
    std::unique_ptr<int32_t[]> memory;
    std::vector<SortedReads> reads;
  };
  const auto sorted = std::make_shared<Sorted>();
  sorted->memory = std::make_unique_for_overwrite<int32_t[]>(size_t(room));
  sorted->reads.resize(columns.size());
  run_tasks(int64_t(columns.size()), [&](int64_t c) {
    const Column& column = columns[size_t(c)];
    const Entry& e = *column.first;
    sorted->reads[size_t(c)] =
        SortedReads::of(e.data, e.stride, e.count, column.table_rows, sorted->memory.get() + column.room_at);
  });
  for (auto& [entry, column] : entries) entry->reads = {sorted, &sorted->reads[column]};
  std::vector<TableStorage*> several;
  for (auto* table : tables) {
    table->merged_.clear();
    for (auto& entry : table->tape_) entry.target.clear();
    if (!table->has_common_reads()) several.push_back(table);
  }
  if (several.empty()) return;
  run_tasks(int64_t(several.size()), [&](int64_t i) { several[size_t(i)]->merge_entries(); });
}

std::span<const int32_t> TableStorage::touched_rows() const {
  if (tape_.empty()) return {};
  return merged_.empty() ? tape_.front().reads->rows : std::span<const int32_t>(merged_);
}

void TableStorage::sum_gradients(int64_t first, int64_t count, float* sum) const {
  std::fill_n(sum, count * width_, 0.f);
  ReadBlock block;
  block.weight = data_;
  block.stride = stride();
  block.width = width_;
  block.sum = sum;
  block.first_target = first;
  for (const auto& entry : tape_) {
    const SortedReads& reads = *entry.reads;
    int64_t from = first, to = first + count;
    if (!merged_.empty()) {
      const auto place = [&](int64_t target) {
        return std::lower_bound(entry.target.begin(), entry.target.end(), int32_t(target)) - entry.target.begin();
      };
      from = place(first), to = place(first + count);
      block.target = entry.target.data() + from;
    }
    block.count = to - from;
    block.row = reads.rows.data() + from;
    block.begin = reads.begin.data() + from;
    block.position = reads.position.data();
    if (block.count > 0) entry.gradient->add(block);
  }
}

RowGradients TableStorage::take_anywhere() {
  const auto options = storage_.options();
  std::vector<at::Tensor> ids, grads;
  for (const auto& entry : tape_) {
    const auto column = entry.column_ids();
    ids.push_back(column.to(at::kLong));
    grads.push_back(entry.gradient->each(column, weight()));
  }
  clear();
  const auto [rows, inverse, counts] = at::_unique2(at::cat(ids), true, true);
  auto sum = at::zeros({rows.size(0), width_}, options).index_add_(0, inverse, at::cat(grads));
  const int64_t skip = rows.numel() > 0 && rows[0].item<int64_t>() == kPaddingRow ? 1 : 0;
  return {rows.narrow(0, skip, rows.size(0) - skip), sum.narrow(0, skip, sum.size(0) - skip)};
}

RowGradients TableStorage::take() {
  const auto options = storage_.options();
  if (tape_.empty()) return {at::empty({0}, options.dtype(at::kLong)), at::empty({0, width_}, options)};
  if (!device().is_cpu()) return take_anywhere();
  if (!tape_.back().reads) sort({this});  // what was recorded after a sort() is not in it
  const auto touched = touched_rows();
  const auto distinct = int64_t(touched.size());
  auto rows = at::empty({distinct}, options.dtype(at::kLong));
  auto sum = at::empty({distinct, width_}, options);
  std::copy(touched.begin(), touched.end(), rows.mutable_data_ptr<int64_t>());
  float* const to = sum.mutable_data_ptr<float>();
  at::parallel_for(0, distinct, kRowsPerTask,
                   [&](int64_t begin, int64_t end) { sum_gradients(begin, end - begin, to + begin * width_); });
  clear();
  return {rows, sum};
}

RowGradient::~RowGradient() = default;

}  // namespace interplay::nn
