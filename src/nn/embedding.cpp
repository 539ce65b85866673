#include <interplay/nn/embedding.h>

#include <algorithm>
#include <limits>
#include <utility>

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <interplay/base/error.h>
#include <interplay/base/random.h>
#include <interplay/nn/blank_tables.h>
#include <interplay/nn/sorted_reads.h>
#include <interplay/nn/table_storage.h>

#include "nn/table/gather.h"

namespace interplay::nn {
namespace {

constexpr int64_t kMovedRowsPerTask = 2048;

void collect(const torch::nn::Module& module, const std::string& prefix, std::vector<NamedTable>& found) {
  for (const auto& child : module.named_children()) {
    const std::string name = prefix.empty() ? child.key() : prefix + "." + child.key();
    if (auto table = std::dynamic_pointer_cast<EmbeddingImpl>(child.value())) {
      const bool known = std::any_of(found.begin(), found.end(), [&](const auto& t) { return t.table == table; });
      if (!known) found.push_back({name, table});
    } else {
      collect(*child.value(), name, found);
    }
  }
}

}  // namespace

EmbeddingImpl::EmbeddingImpl(int64_t rows, int64_t width, double init_std)
    : table_(c10::make_intrusive<TableStorage>(rows, width)) {
  const auto seed = uint64_t(at::randint(std::numeric_limits<int64_t>::max(), {1}, at::kLong).item<int64_t>());
  if (BlankTables::active()) return;
  float* const w = table_->data();
  at::parallel_for(1, rows, kMovedRowsPerTask, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      for (int64_t k = 0; k < width; ++k)
        w[r * width + k] = float(init_std * random_normal(seed, uint64_t(r), uint64_t(k)));
    }
  });
}

EmbeddingImpl::~EmbeddingImpl() = default;

TableStorage& EmbeddingImpl::table() { return *table_; }
c10::intrusive_ptr<TableStorage> EmbeddingImpl::storage() const { return table_; }
int64_t EmbeddingImpl::rows() const { return table_->rows(); }
int64_t EmbeddingImpl::width() const { return table_->width(); }
at::Tensor EmbeddingImpl::weight() const { return table_->weight(); }

at::Tensor EmbeddingImpl::forward(const at::Tensor& ids) {
  auto shape = ids.sizes().vec();
  shape.push_back(width());
  const auto column = ids.reshape({-1, 1}).contiguous();  // one of several columns, too
  if (column.device().is_cpu() && column.scalar_type() == at::kInt)
    check_ids(column.const_data_ptr<int32_t>(), column.size(0), rows());
  return gather_rows(column, {table_}, width()).view(shape);
}

at::Tensor gather_fields(const at::Tensor& ids, const std::vector<Embedding>& tables, int64_t width) {
  INTERPLAY_ASSERT(ids.dim() == 2 && ids.size(1) == int64_t(tables.size()));
  Tables storages;
  for (const auto& t : tables) storages.push_back(t->storage());
  return gather_rows(ids, std::move(storages), width > 0 ? width : tables.front()->width());
}

std::vector<NamedTable> tables_of(const torch::nn::Module& module) {
  std::vector<NamedTable> found;
  collect(module, "", found);
  return found;
}

HasGroup::~HasGroup() = default;

}  // namespace interplay::nn
