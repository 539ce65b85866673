#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <vector>

#include <ATen/core/Tensor.h>

#include <interplay/base/simd.h>
#include <interplay/nn/table_storage.h>

namespace interplay::nn {

/// Reads the rows of one batch row after another: where each field's row lies, those of the next batch row being on
/// their way. One thread uses it; each works on a copy.
class TableReader {
 public:
  TableReader() = default;  ///< of no field
  /// ids i32 [B, F], F tables; both outlive the reader. Rows that are stale are brought up to date here.
  template <class Tables>
  TableReader(const at::Tensor& ids, const Tables& tables)
      : ids_(ids.const_data_ptr<int32_t>()), id_row_(ids.stride(0)), id_column_(ids.stride(1)) {
    std::vector<const TableStorage*> storages;
    for (const auto& table : tables) storages.push_back(storage_of(table));
    TableStorage::refresh(ids, storages);
    for (size_t f = 0; f < storages.size(); ++f) {
      const TableStorage& t = *storages[f];
      constexpr int64_t kCached = 1 << 14;  // floats; smaller tables stay in the second-level cache by themselves
      tables_.push_back({t.data(), t.stride(), t.width(), t.rows() * t.stride() > kCached});
      if (tables_.back().large) large_.push_back(f);
      floats_ += t.rows() * t.stride();
    }
    rows_.resize(tables_.size());
  }
  size_t fields() const { return tables_.size(); }
  int64_t width(size_t f) const { return tables_[f].width; }
  bool is_large(size_t f) const { return tables_[f].large; }
  bool is_uniform(int64_t width) const {  // every table is that wide
    return std::all_of(tables_.begin(), tables_.end(), [&](const Table& t) { return t.width == width; });
  }

  /// Whether reading one field after another pays: rows of one table lie on fewer pages than those of all.
  bool is_scattered() const {
    constexpr int64_t kFewPages = 1 << 24;  // floats
    return floats_ > kFewPages;
  }

  INTERPLAY_INLINE int64_t id(int64_t b, size_t f) const { return ids_[b * id_row_ + int64_t(f) * id_column_]; }
  INTERPLAY_INLINE const float* row(int64_t b, size_t f) const {
    return tables_[f].rows + id(b, f) * tables_[f].stride;
  }

  /// The row of field f for each batch row begin .. end in turn, those ahead being on their way: visit(i, row), i from
  /// 0.
  template <class Visit>
  INTERPLAY_INLINE void read_field(size_t f, int64_t begin, int64_t end, int64_t k, const Visit& visit) const {
    constexpr int64_t kAhead = 24;
    const Table& t = tables_[f];
    const int32_t* id = ids_ + begin * id_row_ + int64_t(f) * id_column_;
    for (int64_t i = 0; i < end - begin; ++i, id += id_row_) {
      if (i + kAhead < end - begin) {
        const float* const next = t.rows + int64_t(id[kAhead * id_row_]) * t.stride + k;
        __builtin_prefetch(next, 0, 3);
        __builtin_prefetch(next + std::min(simd::kLanes, t.width) - 1, 0, 3);
      }
      visit(i, t.rows + int64_t(*id) * t.stride + k);
    }
  }

  /// The rows of batch row b, [F]; b + 1 is fetched if it is below `end`.
  INTERPLAY_INLINE const float* const* read(int64_t b, int64_t end) {
    if (b + 1 < end) {
      for (const size_t f : large_) {
        const float* const next = row(b + 1, f);
        for (int64_t k = 0; k < tables_[f].width; k += simd::kLanes) __builtin_prefetch(next + k, 0, 3);
        __builtin_prefetch(next + tables_[f].width - 1, 0, 3);  // rows may begin within a cache line
      }
    }
    const size_t fields = tables_.size();
    const int32_t* id = ids_ + b * id_row_;
    for (size_t f = 0; f < fields; ++f, id += id_column_) rows_[f] = tables_[f].rows + int64_t(*id) * tables_[f].stride;
    return rows_.data();
  }

 private:
  struct Table {
    const float* rows;
    int64_t stride, width;
    bool large;  // its rows are fetched ahead
  };
  static const TableStorage* storage_of(const c10::intrusive_ptr<TableStorage>& t) { return t.get(); }
  template <class Embedding>
  static const TableStorage* storage_of(const Embedding& t) {
    return t->storage().get();
  }

  const int32_t* ids_ = nullptr;
  int64_t id_row_ = 0, id_column_ = 0;
  std::vector<Table> tables_;
  std::vector<size_t> large_;
  int64_t floats_ = 0;  // of all tables
  std::vector<const float*> rows_;
};

}  // namespace interplay::nn
