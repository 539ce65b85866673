#include "nn/table/gather.h"

#include <algorithm>
#include <utility>

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>

#include <interplay/base/simd.h>
#include <interplay/base/stages.h>
#include <interplay/nn/bf16.h>
#include <interplay/nn/plain_scope.h>

#include "nn/kernels/bf16_layers.h"
#include "nn/table/table_reader.h"
#include "nn/table/written_gradient.h"

namespace interplay::nn {
namespace {

constexpr int64_t kGatheredRowsPerTask = 2048;

struct TablesHolder : torch::CustomClassHolder {
  explicit TablesHolder(Tables t) : tables(std::move(t)) {}
  Tables tables;
};

/// rows begin .. end of out [N, F, K] and, where `half` is given (all fields K wide, a multiple of the lanes), of its
/// bf16 copy
INTERPLAY_CLONES void copy_rows(TableReader& x, int64_t width, int64_t begin, int64_t end, float* out, uint16_t* half) {
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
  at::parallel_for(0, n, std::max<int64_t>(1, kGatheredRowsPerTask / fields), [&](int64_t begin, int64_t end) {
    TableReader own = reader;
    copy_rows(own, width, begin, end, to, half_to);
  });
  return out;
}

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

}  // namespace

at::Tensor gather_rows(const at::Tensor& ids, Tables tables, int64_t width) {
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

at::Tensor gradient_anchor() {
  static const at::Tensor instance = at::empty({0}).requires_grad_();
  return instance;
}

}  // namespace interplay::nn
