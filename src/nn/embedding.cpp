#include <interplay/nn/embedding.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <tuple>

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>

#include <interplay/base/error.h>
#include <interplay/base/random.h>

#include "nn/simd.h"
#include "nn/sorted_reads.h"
#include "nn/tasks.h"

namespace interplay::nn {
namespace {

constexpr int64_t kPadding = 0;  // id of an absent value: its vector is zero and never trained
constexpr int64_t kRowsPerTask = 2048;

using Tables = std::vector<c10::intrusive_ptr<TableStorage>>;

struct TablesHolder : torch::CustomClassHolder {
  explicit TablesHolder(Tables t) : tables(std::move(t)) {}
  Tables tables;
};

/// ids i32 [N, F] through F tables -> f32 [N, F, K]
at::Tensor gather(const at::Tensor& ids, const Tables& tables) {
  const int64_t n = ids.size(0), fields = ids.size(1), width = tables.front()->width();
  if (!ids.device().is_cpu()) {
    std::vector<at::Tensor> columns;
    for (int64_t f = 0; f < fields; ++f) columns.push_back(tables[f]->weight().index_select(0, ids.select(1, f)));
    return at::stack(columns, 1);
  }
  auto out = at::empty({n, fields, width}, tables.front()->weight().options());
  const auto* id = ids.const_data_ptr<int32_t>();
  const int64_t id_row = ids.stride(0), id_column = ids.stride(1);
  auto* to = out.mutable_data_ptr<float>();
  struct Base {
    const float* rows;
    int64_t stride;
  };
  std::vector<Base> base;
  for (const auto& t : tables) base.push_back({t->weight().const_data_ptr<float>(), t->stride()});
  at::parallel_for(0, n, std::max<int64_t>(1, kRowsPerTask / fields), [&](int64_t begin, int64_t end) {
    for (int64_t b = begin; b < end; ++b) {
      for (int64_t f = 0; f < fields; ++f) {
        const float* const from = base[f].rows + int64_t(id[b * id_row + f * id_column]) * base[f].stride;
        std::memcpy(to + (b * fields + f) * width, from, size_t(width) * sizeof(float));
      }
    }
  });
  return out;
}

/// The node of the graph. Its only differentiable input is an empty anchor, so that autograd calls backward(), which
/// leaves the gradients on the tables' tapes.
struct Gather : torch::autograd::Function<Gather> {
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& anchor, const at::Tensor& ids,
                            const Tables& tables) {
    context->saved_data["tables"] = c10::IValue::make_capsule(c10::make_intrusive<TablesHolder>(tables));
    context->save_for_backward({ids});
    return gather(ids, tables);
  }
  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 const torch::autograd::variable_list& gradients) {
    const auto capsule = context->saved_data["tables"].toCapsule();
    const auto& tables = static_cast<TablesHolder&>(*capsule).tables;
    const auto ids = context->get_saved_variables()[0];
    const auto& grad = gradients[0];  // [N, F, K], perhaps expanded
    for (int64_t f = 0; f < ids.size(1); ++f) tables[f]->record(ids.select(1, f), grad.select(1, f));
    return {at::Tensor(), at::Tensor(), at::Tensor()};
  }
};

/// A gradient that is written out, one row a read.
class WrittenGradient final : public RowGradient {
 public:
  explicit WrittenGradient(at::Tensor grad) : grad_(std::move(grad)) {
    if (grad_.size(1) > 1 && grad_.stride(1) != 1) grad_ = grad_.contiguous();
  }
  void add(const ReadBlock& block) const override { add_rows(block, grad_.const_data_ptr<float>(), grad_.stride(0)); }
  at::Tensor each(const at::Tensor&, const at::Tensor&) const override { return grad_; }

 private:
  INTERPLAY_CLONES static void add_rows(const ReadBlock& b, const float* grad, int64_t stride) {
    for (int64_t u = 0; u < b.count; ++u) {
      float* const to = b.sum_of(u);
      const int32_t *const first = b.position + b.begin[u], *const last = b.position + b.begin[u + 1];
      int64_t k = 0;
      for (; k + simd::kLanes <= b.width; k += simd::kLanes) {
        auto sum = simd::load(to + k);
        for (const int32_t* p = first; p < last; ++p) sum += simd::load(grad + *p * stride + k);
        simd::store(to + k, sum);
      }
      for (const int32_t* p = first; k < b.width && p < last; ++p) {
        for (int64_t j = k; j < b.width; ++j) to[j] += grad[*p * stride + j];
      }
    }
  }
  at::Tensor grad_;  // f32 [n, K]
};

at::Tensor gather_node(const at::Tensor& ids, Tables tables) {
  if (!at::GradMode::is_enabled()) return gather(ids, tables);
  return Gather::apply(gradient_anchor(), ids, std::move(tables));
}

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

TableStorage::TableStorage(int64_t rows, int64_t width)
    : rows_(rows), width_(width), storage_(at::zeros({rows, width}, at::kFloat)) {
  INTERPLAY_CHECK(rows >= 1 && width >= 1, "embedding table: {} rows x {}; both must be at least 1", rows, width);
}

TableStorage::~TableStorage() = default;

at::Tensor TableStorage::weight() const { return storage_.narrow(1, 0, width_); }
at::Tensor TableStorage::state() const { return storage_.narrow(1, width_, storage_.size(1) - width_); }

void TableStorage::reserve_state(int64_t width) {
  if (storage_.size(1) == width_ + width) {
    state().zero_();
    return;
  }
  auto bigger = at::zeros({rows_, width_ + width}, storage_.options());
  bigger.narrow(1, 0, width_).copy_(weight());
  storage_ = bigger;
}

void TableStorage::to(at::Device device) { storage_ = storage_.to(device); }

void TableStorage::record(at::Tensor ids, at::Tensor grad) {
  record(std::move(ids), std::make_shared<WrittenGradient>(std::move(grad)));
}

void TableStorage::record(at::Tensor ids, std::shared_ptr<const RowGradient> gradient) {
  tape_.push_back({std::move(ids), std::move(gradient), nullptr, {}});
}

void TableStorage::clear() {
  tape_.clear();
  merged_.clear();
}

void TableStorage::sort(const std::vector<TableStorage*>& tables) {
  struct Column {
    const Entry* first;
    int64_t table_rows;
    std::shared_ptr<const SortedReads> reads;
  };
  using Key = std::tuple<const void*, int64_t, int64_t>;
  std::map<Key, size_t> known;
  std::vector<Column> columns;
  std::vector<std::pair<Entry*, size_t>> entries;
  for (auto* table : tables) {
    for (auto& entry : table->tape_) {
      const auto [it, fresh] =
          known.try_emplace(Key(entry.ids.const_data_ptr(), entry.ids.stride(0), entry.ids.size(0)), columns.size());
      if (fresh) columns.push_back({&entry, 0, nullptr});
      auto& column = columns[it->second];
      column.table_rows = std::max(column.table_rows, table->rows());
      entries.emplace_back(&entry, it->second);
    }
  }
  run_tasks(int64_t(columns.size()), [&](int64_t c) {
    auto& column = columns[size_t(c)];
    const auto& ids = column.first->ids;
    column.reads = std::make_shared<SortedReads>(
        SortedReads::of(ids.const_data_ptr<int32_t>(), ids.stride(0), ids.size(0), column.table_rows));
  });
  for (auto& [entry, column] : entries) entry->reads = columns[column].reads;
  std::vector<TableStorage*> several;
  for (auto* table : tables) {
    if (table->tape_.size() > 1) several.push_back(table);
  }
  run_tasks(int64_t(several.size()), [&](int64_t i) {
    auto& table = *several[size_t(i)];
    auto& merged = table.merged_;
    merged.clear();
    for (const auto& entry : table.tape_)
      merged.insert(merged.end(), entry.reads->rows.begin(), entry.reads->rows.end());
    std::sort(merged.begin(), merged.end());
    merged.erase(std::unique(merged.begin(), merged.end()), merged.end());
    for (auto& entry : table.tape_) {
      entry.target.clear();
      size_t at = 0;
      for (const int32_t row : entry.reads->rows) {
        while (merged[at] != row) ++at;
        entry.target.push_back(int32_t(at));
      }
    }
  });
}

const std::vector<int32_t>& TableStorage::touched_rows() const {
  static const std::vector<int32_t> none;
  return tape_.empty() ? none : tape_.size() == 1 ? tape_[0].reads->rows : merged_;
}

void TableStorage::sum_gradients(int64_t first, int64_t count, float* sum) const {
  std::fill_n(sum, count * width_, 0.f);
  ReadBlock block;
  block.weight = storage_.const_data_ptr<float>();
  block.stride = stride();
  block.width = width_;
  block.sum = sum;
  block.first_target = first;
  for (const auto& entry : tape_) {
    const SortedReads& reads = *entry.reads;
    int64_t from = first, to = first + count;
    if (!entry.target.empty() || tape_.size() > 1) {
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
    ids.push_back(entry.ids.to(at::kLong));
    grads.push_back(entry.gradient->each(entry.ids, weight()));
  }
  clear();
  const auto [rows, inverse, counts] = at::_unique2(at::cat(ids), true, true);
  auto sum = at::zeros({rows.size(0), width_}, options).index_add_(0, inverse, at::cat(grads));
  const int64_t skip = rows.numel() > 0 && rows[0].item<int64_t>() == kPadding ? 1 : 0;
  return {rows.narrow(0, skip, rows.size(0) - skip), sum.narrow(0, skip, sum.size(0) - skip)};
}

RowGradients TableStorage::take() {
  const auto options = storage_.options();
  if (tape_.empty()) return {at::empty({0}, options.dtype(at::kLong)), at::empty({0, width_}, options)};
  if (!device().is_cpu()) return take_anywhere();
  if (!tape_.back().reads) sort({this});  // what was recorded after a sort() is not in it
  const auto& touched = touched_rows();
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

at::Tensor gradient_anchor() {
  static const at::Tensor instance = at::empty({0}).requires_grad_();
  return instance;
}

EmbeddingImpl::EmbeddingImpl(int64_t rows, int64_t width, double init_std)
    : table_(c10::make_intrusive<TableStorage>(rows, width)) {
  const auto seed = uint64_t(at::randint(std::numeric_limits<int64_t>::max(), {1}, at::kLong).item<int64_t>());
  auto* const w = table_->weight().mutable_data_ptr<float>();
  at::parallel_for(1, rows, kRowsPerTask, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      for (int64_t k = 0; k < width; ++k)
        w[r * width + k] = float(init_std * random_normal(seed, uint64_t(r), uint64_t(k)));
    }
  });
}

EmbeddingImpl::~EmbeddingImpl() = default;

at::Tensor EmbeddingImpl::forward(const at::Tensor& ids) {
  auto shape = ids.sizes().vec();
  shape.push_back(width());
  return gather_node(ids.reshape({-1, 1}), {table_}).view(shape);
}

at::Tensor gather_fields(const at::Tensor& ids, const std::vector<Embedding>& tables) {
  INTERPLAY_ASSERT(ids.dim() == 2 && ids.size(1) == int64_t(tables.size()));
  Tables storages;
  for (const auto& t : tables) storages.push_back(t->storage());
  return gather_node(ids, std::move(storages));
}

std::vector<NamedTable> tables_of(const torch::nn::Module& module) {
  std::vector<NamedTable> found;
  collect(module, "", found);
  return found;
}

ParameterGroup::~ParameterGroup() = default;

}  // namespace interplay::nn
