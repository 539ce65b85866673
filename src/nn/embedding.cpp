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
#include <interplay/base/simd.h>
#include <interplay/base/stages.h>
#include <interplay/base/tasks.h>

#include "nn/bf16.h"
#include "nn/bf16_layers.h"
#include "nn/plain.h"
#include "nn/row_memory.h"
#include "nn/sorted_reads.h"
#include "nn/table_reader.h"

namespace interplay::nn {
namespace {

constexpr int64_t kPadding = 0;  // id of an absent value: its vector is zero and never trained
constexpr int64_t kRowsPerTask = 2048;

using Tables = std::vector<c10::intrusive_ptr<TableStorage>>;

struct TablesHolder : torch::CustomClassHolder {
  explicit TablesHolder(Tables t) : tables(std::move(t)) {}
  Tables tables;
};

/// rows begin .. end of out [N, F, K] and, where `half` is given (all fields K wide, a multiple of the lanes), of its
/// bf16 copy
INTERPLAY_CLONES void gather_rows(TableReader& x, int64_t width, int64_t begin, int64_t end, float* out,
                                  uint16_t* half) {
  const size_t fields = x.fields();
  const float* const stop = out + end * int64_t(fields) * width;
  const bool whole = x.is_uniform(width) && width % simd::kLanes == 0;
  for (int64_t b = begin; b < end; ++b) {
    const float* const* const row = x.read(b, end);
    float* to = out + b * int64_t(fields) * width;
    for (size_t f = 0; f < fields; ++f, to += width) {
      if (whole) {
        for (int64_t k = 0; k < width; k += simd::kLanes) {
          const auto lanes = simd::load(row[f] + k);
          simd::store(to + k, lanes);
          if (half) simd::store(half + (to - out) + k, lanes);
        }
        continue;
      }
      for (int64_t k = 0; k < width; k += simd::kLanes) {
        const auto lanes = k < x.width(f) ? simd::load_first(row[f] + k, x.width(f) - k) : simd::Floats{};
        if (to + k + simd::kLanes <= stop) {
          simd::store(to + k, lanes);  // what is behind this field is written after it
        } else {
          simd::store_first(to + k, lanes, width - k);
        }
      }
    }
  }
}

/// ids i32 [N, F] through F tables -> f32 [N, F, K]; and the same in bf16 into `half`, if one is given.
at::Tensor gather(const at::Tensor& ids, const Tables& tables, int64_t width, at::Tensor* half = nullptr) {
  const StageScope stage(Stage::gather);
  const int64_t n = ids.size(0), fields = ids.size(1);
  if (!ids.device().is_cpu() || PlainScope::active()) {
    std::vector<at::Tensor> columns;
    for (int64_t f = 0; f < fields; ++f) {
      const auto& t = *tables[size_t(f)];
      columns.push_back(at::constant_pad_nd(t.weight().index_select(0, ids.select(1, f)), {0, width - t.width()}));
    }
    return at::stack(columns, 1);
  }
  auto out = at::empty({n, fields, width}, at::TensorOptions().dtype(at::kFloat));
  if (half) *half = at::empty({n, fields, width}, out.options().dtype(at::kBFloat16));
  const TableReader reader(ids, tables);
  auto* const to = out.mutable_data_ptr<float>();
  auto* const half_to = half ? static_cast<uint16_t*>(half->mutable_data_ptr()) : nullptr;
  at::parallel_for(0, n, std::max<int64_t>(1, kRowsPerTask / fields), [&](int64_t begin, int64_t end) {
    TableReader own = reader;
    gather_rows(own, width, begin, end, to, half_to);
  });
  return out;
}

/// A gradient that is written out, one row a read: [n, K], which may be one column of [N, F, K].
/// Number: float, or uint16_t, the bits of a bf16.
template <class Number>
class WrittenGradient final : public RowGradient {
 public:
  WrittenGradient(at::Tensor whole, int64_t column)
      : whole_(std::move(whole)),
        column_(column),
        first_(whole_.device().is_cpu() ? data(whole_) + std::max<int64_t>(0, column) * whole_.stride(1) : nullptr) {
    if (first_ && whole_.numel() > 0) {
      stop_ = data(whole_) + 1;
      for (int64_t d = 0; d < whole_.dim(); ++d) stop_ += (whole_.size(d) - 1) * whole_.stride(d);
    }
  }
  void add(const ReadBlock& block) const override { add_rows(block, first_, stop_, whole_.stride(0)); }
  at::Tensor each(const at::Tensor&, const at::Tensor& weight) const override {
    return (column_ < 0 ? whole_ : whole_.select(1, column_)).narrow(1, 0, weight.size(1)).to(at::kFloat);
  }

 private:
  static const Number* data(const at::Tensor& t) { return static_cast<const Number*>(t.const_data_ptr()); }
  INTERPLAY_INLINE static float number(float x) { return x; }
  INTERPLAY_INLINE static float number(uint16_t x) { return simd::widen(x); }
  INTERPLAY_CLONES static void add_rows(const ReadBlock& b, const Number* grad, const Number* stop, int64_t stride) {
    constexpr int64_t kAhead = 8;
    const int32_t* const end = b.position + b.begin[b.count];
    const bool far = stride >= 64;  // otherwise the gradients lie in a cache
    for (int64_t u = 0; u < b.count; ++u) {
      float* const to = b.sum_of(u);
      const int32_t *const first = b.position + b.begin[u], *const last = b.position + b.begin[u + 1];
      for (const int32_t* p = first; far && p < last && p + kAhead < end; ++p)
        __builtin_prefetch(grad + p[kAhead] * stride, 0, 3);
      int64_t k = 0;
      for (; k + simd::kLanes <= b.width; k += simd::kLanes) {
        auto sum = simd::load(to + k);
        for (const int32_t* p = first; p < last; ++p) sum += simd::load(grad + *p * stride + k);
        simd::store(to + k, sum);
      }
      if (k == b.width) continue;
      if (b.width - k == 1) {
        float sum = to[k];
        for (const int32_t* p = first; p < last; ++p) sum += number(grad[*p * stride + k]);
        to[k] = sum;
        continue;
      }
      simd::Floats sum{};
      for (const int32_t* p = first; p < last; ++p) {
        const Number* const from = grad + *p * stride + k;
        if (from + simd::kLanes <= stop) {
          sum += simd::load(from);
        } else {
          for (int64_t i = 0; k + i < b.width; ++i) sum[i] += number(from[i]);
        }
      }
      for (int64_t i = 0; k + i < b.width; ++i) to[k + i] += sum[i];
    }
  }
  at::Tensor whole_;                       // [n, K], or [N, F, K]
  int64_t column_;                         // -1: [n, K]
  const Number *first_, *stop_ = nullptr;  // stop_: no number of it lies there or behind
};

/// Whether the layers that read the vectors will round them to bf16, and the kernel above can do it for them.
bool is_read_as_bf16(const at::Tensor& ids, const Tables& tables, int64_t width) {
  return in_bf16(ids) && !PlainScope::active() && width % simd::kLanes == 0 &&
         std::all_of(tables.begin(), tables.end(), [&](const auto& t) { return t->width() == width; });
}

/// The node of the graph. Its only differentiable input is an empty anchor, so that autograd calls backward(), which
/// leaves the gradients on the tables' tapes. Results: the vectors and, where they are read as bf16, their bf16 twin.
struct Gather : torch::autograd::Function<Gather> {
  static torch::autograd::variable_list forward(torch::autograd::AutogradContext* context, const at::Tensor& anchor,
                                                const at::Tensor& ids, const Tables& tables, int64_t width) {
    context->saved_data["tables"] = c10::IValue::make_capsule(c10::make_intrusive<TablesHolder>(tables));
    context->save_for_backward({ids});
    context->set_materialize_grads(false);
    if (!is_read_as_bf16(ids, tables, width)) return {gather(ids, tables, width)};
    at::Tensor half;
    auto out = gather(ids, tables, width, &half);
    return {out, half};
  }
  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 const torch::autograd::variable_list& gradients) {
    const auto capsule = context->saved_data["tables"].toCapsule();
    const auto& tables = static_cast<TablesHolder&>(*capsule).tables;
    const auto ids = context->get_saved_variables()[0];
    for (auto grad : gradients) {  // [N, F, K], perhaps expanded
      if (!grad.defined()) continue;
      if (grad.size(2) > 1 && grad.stride(2) != 1) grad = grad.contiguous();
      for (size_t f = 0; f < tables.size(); ++f) tables[f]->record(ids, int64_t(f), written_gradient(grad, int64_t(f)));
    }
    return {at::Tensor(), at::Tensor(), at::Tensor(), at::Tensor()};
  }
};

at::Tensor gather_node(const at::Tensor& ids, Tables tables, int64_t width) {
  if (at::GradMode::is_enabled()) {
    const auto out = Gather::apply(gradient_anchor(), ids, std::move(tables), width);
    if (out.size() > 1) offer_bf16(out[0], out[1]);
    return out[0];
  }
  if (!is_read_as_bf16(ids, tables, width)) return gather(ids, tables, width);
  at::Tensor half;
  auto out = gather(ids, tables, width, &half);
  offer_bf16(out, half);
  return out;
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

namespace {

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
  const int64_t skip = rows.numel() > 0 && rows[0].item<int64_t>() == kPadding ? 1 : 0;
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

std::shared_ptr<const RowGradient> written_gradient(at::Tensor grad, int64_t column) {
  if (column < 0 && grad.size(1) > 1 && grad.stride(1) != 1) grad = grad.contiguous();
  if (grad.scalar_type() == at::kBFloat16) return std::make_shared<WrittenGradient<uint16_t>>(std::move(grad), column);
  return std::make_shared<WrittenGradient<float>>(std::move(grad), column);
}

at::Tensor gradient_anchor() {
  static const at::Tensor instance = at::empty({0}).requires_grad_();
  return instance;
}

EmbeddingImpl::EmbeddingImpl(int64_t rows, int64_t width, double init_std)
    : table_(c10::make_intrusive<TableStorage>(rows, width)) {
  const auto seed = uint64_t(at::randint(std::numeric_limits<int64_t>::max(), {1}, at::kLong).item<int64_t>());
  float* const w = table_->data();
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
  const auto column = ids.reshape({-1, 1});
  if (column.device().is_cpu() && column.scalar_type() == at::kInt)
    check_ids(column.const_data_ptr<int32_t>(), column.size(0), rows());
  return gather_node(column, {table_}, width()).view(shape);
}

at::Tensor gather_fields(const at::Tensor& ids, const std::vector<Embedding>& tables, int64_t width) {
  INTERPLAY_ASSERT(ids.dim() == 2 && ids.size(1) == int64_t(tables.size()));
  Tables storages;
  for (const auto& t : tables) storages.push_back(t->storage());
  return gather_node(ids, std::move(storages), width > 0 ? width : tables.front()->width());
}

std::vector<NamedTable> tables_of(const torch::nn::Module& module) {
  std::vector<NamedTable> found;
  collect(module, "", found);
  return found;
}

HasGroup::~HasGroup() = default;

}  // namespace interplay::nn
