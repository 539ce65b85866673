#include <interplay/nn/embedding.h>

#include <algorithm>
#include <cstring>

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>

#include <interplay/base/error.h>
#include <interplay/base/random.h>

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
    const auto grad = gradients[0].contiguous();  // [N, F, K]
    for (int64_t f = 0; f < ids.size(1); ++f) tables[f]->record(ids.select(1, f), grad.select(1, f));
    return {at::Tensor(), at::Tensor(), at::Tensor()};
  }
};

at::Tensor anchor() {
  static const at::Tensor instance = at::empty({0}).requires_grad_();
  return instance;
}

at::Tensor gather_node(const at::Tensor& ids, Tables tables) {
  if (!at::GradMode::is_enabled()) return gather(ids, tables);
  return Gather::apply(anchor(), ids, std::move(tables));
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

void TableStorage::record(at::Tensor ids, at::Tensor grad) { tape_.emplace_back(std::move(ids), std::move(grad)); }

RowGradients TableStorage::take() {
  const auto options = storage_.options();
  if (!device().is_cpu()) {
    std::vector<at::Tensor> ids, grads;
    for (const auto& [i, g] : tape_) ids.push_back(i.to(at::kLong)), grads.push_back(g);
    tape_.clear();
    if (ids.empty()) return {at::empty({0}, options.dtype(at::kLong)), at::empty({0, width_}, options)};
    const auto [rows, inverse, counts] = at::_unique2(at::cat(ids), true, true);
    auto sum = at::zeros({rows.size(0), width_}, options).index_add_(0, inverse, at::cat(grads));
    const int64_t skip = rows.numel() > 0 && rows[0].item<int64_t>() == kPadding ? 1 : 0;
    return {rows.narrow(0, skip, rows.size(0) - skip), sum.narrow(0, skip, sum.size(0) - skip)};
  }
  struct Key {
    uint32_t id, part;
    int64_t place;
    bool operator<(const Key& o) const {
      return id != o.id ? id < o.id : part != o.part ? part < o.part : place < o.place;
    }
  };
  std::vector<Key> keys;
  struct Part {
    const float* grad;
    int64_t stride;
  };
  std::vector<Part> parts;
  for (auto& [ids, grad] : tape_) {
    if (grad.stride(1) != 1) grad = grad.contiguous();
    const auto* id = ids.const_data_ptr<int32_t>();
    const int64_t step = ids.stride(0), n = ids.size(0);
    for (int64_t i = 0; i < n; ++i) {
      if (id[i * step] != kPadding) keys.push_back({uint32_t(id[i * step]), uint32_t(parts.size()), i});
    }
    parts.push_back({grad.const_data_ptr<float>(), grad.stride(0)});
  }
  std::sort(keys.begin(), keys.end());
  int64_t distinct = 0;
  for (size_t i = 0; i < keys.size(); ++i) distinct += i == 0 || keys[i].id != keys[i - 1].id;
  auto rows = at::empty({distinct}, options.dtype(at::kLong));
  auto sum = at::zeros({distinct, width_}, options);
  auto* row = rows.mutable_data_ptr<int64_t>();
  auto* to = sum.mutable_data_ptr<float>();
  int64_t u = -1;
  for (size_t i = 0; i < keys.size(); ++i) {
    if (i == 0 || keys[i].id != keys[i - 1].id) row[++u] = keys[i].id;
    const Part& part = parts[keys[i].part];
    const float* const g = part.grad + keys[i].place * part.stride;
    for (int64_t k = 0; k < width_; ++k) to[u * width_ + k] += g[k];
  }
  tape_.clear();
  return {rows, sum};
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
