#include <interplay/nn/fm.h>

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>

#include <interplay/base/error.h>
#include <interplay/base/simd.h>
#include <interplay/base/stages.h>
#include <interplay/nn/interactions.h>
#include <interplay/nn/plain_scope.h>
#include <interplay/nn/table_storage.h>

#include "nn/table/table_reader.h"
#include "nn/table/written_gradient.h"

namespace interplay::nn {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr int64_t kFmRowsPerTask = 64;

/// Sums over the fields are kept in rows of whole vectors, zero past K.
constexpr int64_t sum_stride(int64_t width) { return (width + simd::kLanes - 1) / simd::kLanes * simd::kLanes; }

/// FieldVectors::Parts as addresses.
struct Lookup {
  TableReader tables;
  const float* others = nullptr;  // [B, F2, K]
  int64_t other_fields = 0, width;
  bool uniform;  // no table is narrower than K

  Lookup(const FieldVectors::Parts& p, const at::Tensor& others_contiguous)
      : tables(p.ids, p.tables), width(p.vector_width()), uniform(tables.is_uniform(width)) {
    if (others_contiguous.numel() > 0) {
      others = others_contiguous.const_data_ptr<float>();
      other_fields = others_contiguous.size(1);
    }
  }
  /// Vectors that have been gathered, [B, F, K]: they lie one behind the other.
  explicit Lookup(const at::Tensor& vectors)
      : others(vectors.const_data_ptr<float>()), other_fields(vectors.size(1)), width(vectors.size(2)), uniform(true) {}
  bool whole() const { return uniform && width % simd::kLanes == 0; }
  INTERPLAY_INLINE const float* other(int64_t b, int64_t f) const { return others + (b * other_fields + f) * width; }
};

/// Elements k .. k + 15 of a vector that comes from elsewhere; what is behind it may not be ours to read.
INTERPLAY_INLINE simd::Floats other_lanes(const Lookup& x, int64_t b, int64_t f, int64_t k) {
  const float* const e = x.other(b, f) + k;
  if (k + simd::kLanes <= x.width) return simd::load(e);
  simd::Floats lanes{};
  for (int64_t i = 0; k + i < x.width; ++i) lanes[i] = e[i];
  return lanes;
}

/// Calls visit(lanes) with elements k .. k + 15 of every field of batch row b; those past the width are zero.
template <bool kWhole, class Visit>
INTERPLAY_INLINE void each_field(const Lookup& x, const float* const* row, int64_t b, int64_t k, const Visit& visit) {
  const size_t fields = x.tables.fields();
  for (size_t f = 0; f < fields; ++f) {
    if (kWhole) {
      visit(simd::load(row[f] + k));
    } else if (k < x.tables.width(f)) {
      visit(simd::load_first(row[f] + k, x.tables.width(f) - k));
    }
  }
  for (int64_t f = 0; f < x.other_fields; ++f) visit(other_lanes(x, b, f, k));
}

/// z [B] and, unless nullptr, sum [B, K] in rows of sum_stride(K)
template <bool kWhole>
INTERPLAY_INLINE void fm_loop(Lookup& x, int64_t begin, int64_t end, float* z, float* sum) {
  for (int64_t b = begin; b < end; ++b) {
    const float* const* const row = x.tables.read(b, end);
    float total = 0;
    for (int64_t k = 0; k < x.width; k += simd::kLanes) {
      simd::Floats s{}, squares{};
      each_field<kWhole>(x, row, b, k, [&](simd::Floats e) INTERPLAY_INLINE_LAMBDA {
        s += e;
        squares += e * e;
      });
      if (sum) simd::store(sum + b * sum_stride(x.width) + k, s);
      total += simd::sum(s * s - squares);
    }
    z[b] = 0.5f * total;
  }
}

/// The same numbers, for tables that take much memory: one field after another, for as many batch rows at a time as
/// their sums fit the first-level cache.
INTERPLAY_INLINE void fm_by_field(const Lookup& x, int64_t begin, int64_t end, float* z, float* sum) {
  constexpr int64_t kRows = 256;
  simd::Floats s[kRows], squares[kRows];
  float total[kRows];
  const size_t fields = x.tables.fields();
  for (; begin < end; begin += kRows) {
    const int64_t stop = std::min(end, begin + kRows), count = stop - begin;
    std::fill_n(total, count, 0.f);
    for (int64_t k = 0; k < x.width; k += simd::kLanes) {
      for (int64_t i = 0; i < count; ++i) s[i] = squares[i] = simd::Floats{};
      const auto add = [&](int64_t i, simd::Floats e) INTERPLAY_INLINE_LAMBDA {
        s[i] += e;
        squares[i] += e * e;
      };
      for (size_t f = 0; f < fields; ++f) {
        const int64_t rest = x.tables.width(f) - k;
        if (rest <= 0) continue;
        x.tables.read_field(f, begin, stop, k, [&](int64_t i, const float* row) INTERPLAY_INLINE_LAMBDA {
          add(i, simd::load_first(row, rest));
        });
      }
      for (int64_t f = 0; f < x.other_fields; ++f) {
        for (int64_t i = 0; i < count; ++i) add(i, other_lanes(x, begin + i, f, k));
      }
      for (int64_t i = 0; i < count; ++i) {
        if (sum) simd::store(sum + (begin + i) * sum_stride(x.width) + k, s[i]);
        total[i] += simd::sum(s[i] * s[i] - squares[i]);
      }
    }
    for (int64_t i = 0; i < count; ++i) z[begin + i] = 0.5f * total[i];
  }
}

INTERPLAY_CLONES void fm_rows(Lookup& x, int64_t begin, int64_t end, float* z, float* sum) {
  if (x.tables.is_scattered()) return fm_by_field(x, begin, end, z, sum);
  return x.whole() ? fm_loop<true>(x, begin, end, z, sum) : fm_loop<false>(x, begin, end, z, sum);
}

template <bool kWhole>
INTERPLAY_INLINE void sum_loop(Lookup& x, int64_t begin, int64_t end, float* out) {
  for (int64_t b = begin; b < end; ++b) {
    const float* const* const row = x.tables.read(b, end);
    for (int64_t k = 0; k < x.width; k += simd::kLanes) {
      simd::Floats s{};
      each_field<kWhole>(x, row, b, k, [&](simd::Floats e) INTERPLAY_INLINE_LAMBDA { s += e; });
      simd::store_first(out + b * x.width + k, s, x.width - k);
    }
  }
}

/// K = 1: out [B]. One field after another for some batch rows at a time, so that their sums do not wait for each other
/// and rows of one table are read together.
INTERPLAY_INLINE void sum_scalars(const Lookup& x, int64_t begin, int64_t end, float* out) {
  constexpr int64_t kRows = 1024;
  for (; begin < end; begin += kRows) {
    const int64_t stop = std::min(end, begin + kRows);
    float* const to = out + begin;
    std::fill_n(to, stop - begin, 0.f);
    for (size_t f = 0; f < x.tables.fields(); ++f) {
      x.tables.read_field(f, begin, stop, 0,
                          [&](int64_t i, const float* row) INTERPLAY_INLINE_LAMBDA { to[i] += *row; });
    }
    for (int64_t b = begin; b < stop; ++b) {
      for (int64_t f = 0; f < x.other_fields; ++f) out[b] += *x.other(b, f);
    }
  }
}

/// out [B, K]
INTERPLAY_CLONES void sum_rows(Lookup& x, int64_t begin, int64_t end, float* out) {
  if (x.width == 1) return sum_scalars(x, begin, end, out);
  return x.whole() ? sum_loop<true>(x, begin, end, out) : sum_loop<false>(x, begin, end, out);
}

/// d fm / d e_f = s - e_f: of the reads of one row, sum of dz s less e times sum of dz.
class FmGradient final : public RowGradient {
 public:
  FmGradient(at::Tensor dz, at::Tensor sum) : dz_(dz.contiguous()), sum_(std::move(sum)) {}
  void add(const ReadBlock& block) const override {
    add_rows(block, dz_.const_data_ptr<float>(), sum_.const_data_ptr<float>(), sum_.stride(0));
  }
  at::Tensor each(const at::Tensor& ids, const at::Tensor& weight) const override {
    return dz_.unsqueeze(1) * (sum_.narrow(1, 0, weight.size(1)) - weight.index_select(0, ids));
  }

 private:
  INTERPLAY_CLONES static void add_rows(const ReadBlock& b, const float* dz, const float* sum, int64_t stride) {
    for (int64_t u = 0; u < b.count; ++u) {
      float* const to = b.sum_of(u);
      const float* const e = b.weight + int64_t(b.row[u]) * b.stride;
      const int32_t *const first = b.position + b.begin[u], *const last = b.position + b.begin[u + 1];
      float all = 0;
      for (const int32_t* p = first; p < last; ++p) all += dz[*p];
      for (int64_t k = 0; k < b.width; k += simd::kLanes) {
        simd::Floats g{};
        for (const int32_t* p = first; p < last; ++p) g += dz[*p] * simd::load(sum + *p * stride + k);
        if (k + simd::kLanes <= b.width) {
          simd::store(to + k, simd::load(to + k) + (g - all * simd::load(e + k)));
        } else {
          for (int64_t i = 0; k + i < b.width; ++i) to[k + i] += g[i] - all * e[k + i];
        }
      }
    }
  }
  at::Tensor dz_, sum_;  // [B], [B, sum_stride(K)]
};

struct PartsHolder : torch::CustomClassHolder {
  explicit PartsHolder(FieldVectors::Parts p) : parts(std::move(p)) {}
  FieldVectors::Parts parts;
};

void keep_parts(AutogradContext* context, const FieldVectors::Parts& parts) {
  auto without_others = parts;
  without_others.others = at::Tensor();  // an input of the node: saved by it where needed
  context->saved_data["parts"] = c10::IValue::make_capsule(c10::make_intrusive<PartsHolder>(std::move(without_others)));
}

const FieldVectors::Parts& kept_parts(AutogradContext* context) {
  const auto capsule = context->saved_data["parts"].toCapsule();
  return static_cast<PartsHolder&>(*capsule).parts;  // the context keeps it alive
}

/// A node's inputs have to be defined.
/// z [B] of fields whose others are given apart: [B, F2, K], or empty.
at::Tensor run_fm(const FieldVectors& fields, const at::Tensor& others, at::Tensor* sum) {
  const StageScope stage(Stage::gather);
  const auto contiguous = others.contiguous();
  const bool is_gathered = fields.gathered() && fields.tensor().is_contiguous();
  const Lookup x = is_gathered ? Lookup(fields.tensor()) : Lookup(fields.parts(), contiguous);
  const int64_t batch = fields.batch();
  const auto options = at::TensorOptions().dtype(at::kFloat);
  auto z = at::empty({batch}, options);
  if (sum) *sum = at::empty({batch, sum_stride(x.width)}, options);
  float* const to = z.mutable_data_ptr<float>();
  float* const sum_to = sum ? sum->mutable_data_ptr<float>() : nullptr;
  at::parallel_for(0, batch, kFmRowsPerTask, [&](int64_t begin, int64_t end) {
    Lookup own = x;
    fm_rows(own, begin, end, to, sum_to);
  });
  return z;
}

at::Tensor run_sum(const FieldVectors::Parts& parts, const at::Tensor& others) {
  const StageScope stage(Stage::gather);
  const auto contiguous = others.contiguous();
  const Lookup x(parts, contiguous);
  auto out = at::empty({parts.ids.size(0), x.width}, at::TensorOptions().dtype(at::kFloat));
  float* const to = out.mutable_data_ptr<float>();
  at::parallel_for(0, out.size(0), kFmRowsPerTask, [&](int64_t begin, int64_t end) {
    Lookup own = x;
    sum_rows(own, begin, end, to);
  });
  return out;
}

struct FmNode : torch::autograd::Function<FmNode> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor&, const at::Tensor& others,
                            const FieldVectors& fields) {
    at::Tensor sum;
    auto z = run_fm(fields, others, &sum);
    keep_parts(context, fields.parts());
    context->save_for_backward({sum, others});
    return z;
  }
  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const auto saved = context->get_saved_variables();
    const at::Tensor &dz = gradients[0], &sum = saved[0], &others = saved[1];
    const auto& parts = kept_parts(context);
    const auto gradient = std::make_shared<FmGradient>(dz, sum);
    for (size_t f = 0; f < parts.tables.size(); ++f)
      parts.tables[f]->storage()->record(parts.ids, int64_t(f), gradient);
    at::Tensor d_others;
    if (others.numel() > 0) d_others = dz.view({-1, 1, 1}) * (sum.narrow(1, 0, others.size(2)).unsqueeze(1) - others);
    return {at::Tensor(), d_others, at::Tensor()};
  }
};

struct SumNode : torch::autograd::Function<SumNode> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor&, const at::Tensor& others,
                            const FieldVectors::Parts& parts) {
    keep_parts(context, parts);
    context->saved_data["other_fields"] = others.numel() > 0 ? others.size(1) : int64_t(0);
    return run_sum(parts, others);
  }
  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const at::Tensor& d = gradients[0];  // [B, K]
    const auto& parts = kept_parts(context);
    const auto gradient = written_gradient(d);
    for (size_t f = 0; f < parts.tables.size(); ++f)
      parts.tables[f]->storage()->record(parts.ids, int64_t(f), gradient);
    const int64_t other_fields = context->saved_data["other_fields"].toInt();
    at::Tensor d_others;
    if (other_fields > 0) d_others = d.unsqueeze(1).expand({-1, other_fields, -1});
    return {at::Tensor(), d_others, at::Tensor()};
  }
};

/// Where the tables lie elsewhere, or there are none, the plain twin works on the gathered tensor.
bool is_fused_fm(const FieldVectors& fields) {
  return fields.parts().ids.defined() && fields.parts().ids.device().is_cpu() && !PlainScope::active();
}

}  // namespace

at::Tensor fm(const FieldVectors& fields) {
  if (!is_fused_fm(fields)) return bi_interaction(fields).sum(1);
  const auto& parts = fields.parts();
  if (!at::GradMode::is_enabled()) return run_fm(fields, parts.others_or_empty(), nullptr);
  return FmNode::apply(gradient_anchor(), parts.others_or_empty(), fields);
}

at::Tensor sum_fields(const FieldVectors& fields) {
  if (!is_fused_fm(fields)) return fields.tensor().sum(1);
  const auto& parts = fields.parts();
  if (!at::GradMode::is_enabled()) return run_sum(parts, parts.others_or_empty());
  return SumNode::apply(gradient_anchor(), parts.others_or_empty(), parts);
}

at::Tensor bi_interaction(const FieldVectors& fields) {
  const at::Tensor& e = fields.tensor();      // [B, F, K]
  const auto sum = e.sum(1);                  // [B, K]
  return 0.5 * (sum * sum - (e * e).sum(1));  // [B, K]
}

at::Tensor inner_products(const FieldVectors& fields, const at::Tensor& left, const at::Tensor& right) {
  INTERPLAY_CHECK(left.dim() == 1 && left.sizes() == right.sizes() && left.scalar_type() == at::kLong,
                  "inner_products: pairs are two i64 tensors [P], found {} of {} and {} of {}", left.sizes(),
                  c10::toString(left.scalar_type()), right.sizes(), c10::toString(right.scalar_type()));
  return set_products(fields, at::stack({left, right}, 1));  // [B, P]
}

std::pair<at::Tensor, at::Tensor> all_pairs(int64_t fields) {
  const auto pairs = at::triu_indices(fields, fields, 1, at::kLong);  // [2, P], row-major: lexicographic
  return {pairs[0], pairs[1]};
}

}  // namespace interplay::nn
