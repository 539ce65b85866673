#include <interplay/nn/ffm.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>
#include <memory>
#include <vector>

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>

#include <interplay/base/error.h>
#include <interplay/base/simd.h>
#include <interplay/base/stages.h>
#include <interplay/base/tasks.h>
#include <interplay/nn/fm.h>
#include <interplay/nn/plain_scope.h>
#include <interplay/nn/sorted_reads.h>
#include <interplay/nn/table_storage.h>

#include "nn/kernels/watched_call.h"
#include "nn/table/table_reader.h"

namespace interplay::nn {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr int64_t kFfmRowsPerTask = 32;

// As many floats at a time as divide a vector's K.
using Four = float __attribute__((vector_size(16)));
using Eight = float __attribute__((vector_size(32)));

template <class V>
INTERPLAY_INLINE V load(const float* from) {
  V v;
  std::memcpy(&v, from, sizeof(V));
  return v;
}
template <class V>
INTERPLAY_INLINE void store(float* to, V v) {
  std::memcpy(to, &v, sizeof(V));
}
template <class V>
INTERPLAY_INLINE float sum_of(V v) {
  float lane[sizeof(V) / sizeof(float)], sum = 0;
  std::memcpy(lane, &v, sizeof(V));
  for (const float x : lane) sum += x;
  return sum;
}

/// One batch row: e [F], where the rows [F, K] of its fields lie.
template <class V>
INTERPLAY_INLINE float pair_sum(const float* const* e, int64_t fields, int64_t width) {
  constexpr int64_t kStep = sizeof(V) / sizeof(float);
  V total{};
  for (int64_t i = 0; i < fields; ++i) {
    V sum{};  // apart, so that fields do not wait for one another
    for (int64_t j = i + 1; j < fields; ++j) {
      for (int64_t k = 0; k < width; k += kStep) sum += load<V>(e[i] + j * width + k) * load<V>(e[j] + i * width + k);
    }
    total += sum;
  }
  return sum_of(total);
}

/// Calls run with the widest of our vectors that divides K.
template <class Run>
INTERPLAY_INLINE void with_lanes_of(int64_t width, const Run& run) {
  if (width % simd::kLanes == 0) {
    run(simd::Floats{});
  } else if (width % 8 == 0) {
    run(Eight{});
  } else if (width % 4 == 0) {
    run(Four{});
  } else {
    run(0.f);
  }
}

/// Copies of the distinct rows that a batch reads, for a pass that learns: they stay as they were while tables move,
/// and fit the cache, as all that a batch reads, field by field, would not. Once row by row, for the products, and once
/// by the field that a vector is kept for: the gradient of a field's rows is made of those that are kept for it.
struct RowCopies {
  int64_t fields, width;  // F, K
  at::Tensor rows;        // f32 [N, F K]: zeros, the distinct rows of table after table, `others`; N = 1 + U + B F2
  at::Tensor kept_for;    // f32 [F, N, K], the same by field
  at::Tensor place;       // i32 [B, F], which of them a field reads
  int64_t row() const { return fields * width; }

  RowCopies(const FieldVectors::Parts& parts, const at::Tensor& others)
      : fields(int64_t(parts.tables.size()) + (others.numel() > 0 ? others.size(1) : 0)),
        width(parts.vector_width() / fields) {
    const int64_t batch = parts.ids.size(0);
    const auto tables = int64_t(parts.tables.size()), other_fields = fields - tables;
    const auto* const ids = parts.ids.const_data_ptr<int32_t>();
    std::vector<SortedReads> reads(parts.tables.size());
    const int64_t room = SortedReads::room(batch);
    const auto memory = std::make_unique_for_overwrite<int32_t[]>(size_t(tables * room));
    run_tasks(tables, [&](int64_t f) {
      reads[size_t(f)] = SortedReads::of(ids + f * parts.ids.stride(1), parts.ids.stride(0), batch,
                                         parts.tables[size_t(f)]->rows(), memory.get() + f * room);
    });
    std::vector<int64_t> first(size_t(tables + 1), 1);
    for (size_t f = 0; f < reads.size(); ++f) first[f + 1] = first[f] + int64_t(reads[f].rows.size());
    INTERPLAY_CHECK(first.back() + batch * other_fields <= std::numeric_limits<int32_t>::max(),
                    "ffm: a batch of {} rows is too large for {} fields", batch, fields);
    const int64_t count = first.back() + batch * other_fields;
    rows = at::empty({count, row()}, at::TensorOptions().dtype(at::kFloat));
    kept_for = at::empty({fields, count, width}, rows.options());
    place_by_field = at::zeros({fields, batch}, at::kInt);
    float* const to = rows.mutable_data_ptr<float>();
    int32_t* const places = place_by_field.mutable_data_ptr<int32_t>();
    float* const kept_to = kept_for.mutable_data_ptr<float>();
    rows[0].zero_();
    kept_for.select(1, 0).zero_();
    run_tasks(tables, [&](int64_t f) {
      const auto& table = *parts.tables[size_t(f)]->storage();
      const int64_t at = first[size_t(f)];
      copy_rows(*this, reads[size_t(f)], table, to + at * row(), kept_to + at * width, at, places + f * batch);
    });
    if (other_fields > 0) {
      const auto more = others.reshape({batch * other_fields, fields, width});
      rows.narrow(0, first.back(), batch * other_fields).copy_(more.flatten(1));
      kept_for.narrow(1, first.back(), batch * other_fields).copy_(more.transpose(0, 1));
      for (int64_t f = 0; f < other_fields; ++f) {
        for (int64_t b = 0; b < batch; ++b)
          places[(tables + f) * batch + b] = int32_t(first.back() + b * other_fields + f);
      }
    }
    place = at::empty({batch, fields}, at::kInt);
  }

  /// z [B] of some batch rows; writes their part of `place`.
  void sum_pairs(int64_t begin, int64_t end, float* z) {
    sum_rows(*this, place_by_field.const_data_ptr<int32_t>(), rows.const_data_ptr<float>(), begin, end, z,
             place.mutable_data_ptr<int32_t>());
  }

  /// sum [F K] += what field f's row is multiplied with in each of kReads batch rows, times their d: e_{j,f} for every
  /// other field j. `kept`: kept_for[f]; `partner`: those rows of `place`.
  template <class V, size_t kReads>
  INTERPLAY_INLINE static void add_partners(const float* kept, const std::array<const int32_t*, kReads>& partner,
                                            const std::array<float, kReads>& d, int64_t f, int64_t fields,
                                            int64_t width, float* sum) {
    constexpr int64_t kStep = sizeof(V) / sizeof(float);
    const auto add = [&](int64_t j) INTERPLAY_INLINE_LAMBDA {
      for (int64_t k = 0; k < width; k += kStep) {
        auto total = load<V>(sum + j * width + k);
        for (size_t r = 0; r < kReads; ++r) total += d[r] * load<V>(kept + int64_t(partner[r][j]) * width + k);
        store(sum + j * width + k, total);
      }
    };
    for (int64_t j = 0; j < f; ++j) add(j);
    for (int64_t j = f + 1; j < fields; ++j) add(j);
  }

 private:
  INTERPLAY_CLONES static void copy_rows(const RowCopies& x, const SortedReads& reads, const TableStorage& table,
                                         float* to, float* kept, int64_t first, int32_t* place) {
    constexpr int64_t kAhead = 3;  // rows on their way
    const auto distinct = int64_t(reads.rows.size()), row = x.row(), stride = table.stride();
    const int64_t fields = x.fields, width = x.width, kept_stride = x.rows.size(0) * width;
    const float* const from = table.data();
    with_lanes_of(width, [&]<class V>(V) INTERPLAY_INLINE_LAMBDA {
      constexpr int64_t kStep = sizeof(V) / sizeof(float);
      for (int64_t u = 0; u < distinct; ++u) {
        const float* const e = from + reads.rows[size_t(u)] * stride;
        const float* const ahead = from + reads.rows[size_t(std::min(u + kAhead, distinct - 1))] * stride;
        for (int64_t k = 0; k < row; k += simd::kLanes) __builtin_prefetch(ahead + k, 0, 3);
        for (int64_t f = 0; f < fields; ++f) {
          for (int64_t k = 0; k < width; k += kStep) {
            const auto v = load<V>(e + f * width + k);
            store(to + u * row + f * width + k, v);
            store(kept + f * kept_stride + u * width + k, v);
          }
        }
        for (int32_t p = reads.begin[size_t(u)]; p < reads.begin[size_t(u + 1)]; ++p)
          place[reads.position[size_t(p)]] = int32_t(first + u);
      }
    });
  }

  INTERPLAY_CLONES static void sum_rows(const RowCopies& x, const int32_t* by_field, const float* rows, int64_t begin,
                                        int64_t end, float* z, int32_t* place) {
    const int64_t fields = x.fields, row = x.row(), batch = x.place.size(0);
    std::vector<const float*> e(size_t(fields), nullptr);
    with_lanes_of(x.width, [&]<class V>(V) INTERPLAY_INLINE_LAMBDA {
      for (int64_t b = begin; b < end; ++b) {
        for (int64_t f = 0; f < fields; ++f) {
          place[b * fields + f] = by_field[f * batch + b];
          e[size_t(f)] = rows + int64_t(by_field[f * batch + b]) * row;
          const float* const next = b + 1 < end ? rows + int64_t(by_field[f * batch + b + 1]) * row : e[size_t(f)];
          for (int64_t k = 0; k < row; k += simd::kLanes) __builtin_prefetch(next + k, 0, 2);
        }
        z[b] = pair_sum<V>(e.data(), fields, x.width);
      }
    });
  }

  at::Tensor place_by_field;  // i32 [F, B]: each field's is written by one thread
};

/// dz times what a field's row is multiplied with.
class FfmGradient final : public RowGradient {
 public:
  FfmGradient(at::Tensor dz, std::shared_ptr<const RowCopies> copies, int64_t field)
      : dz_(std::move(dz)), copies_(std::move(copies)), field_(field) {}
  void add(const ReadBlock& block) const override {
    add_rows(block, *copies_, copies_->kept_for.const_data_ptr<float>(), copies_->place.const_data_ptr<int32_t>(),
             field_, dz_.const_data_ptr<float>());
  }
  at::Tensor each(const at::Tensor&, const at::Tensor&) const override {
    auto partners = copies_->kept_for[field_].index_select(0, copies_->place.flatten());  // [B F, K]
    partners = partners.view({-1, copies_->fields, copies_->width}) * dz_.view({-1, 1, 1});
    partners.select(1, field_).zero_();
    return partners.flatten(1);  // [B, F K]
  }

 private:
  INTERPLAY_CLONES static void add_rows(const ReadBlock& b, const RowCopies& x, const float* kept_for,
                                        const int32_t* place, int64_t field, const float* dz) {
    const int64_t fields = x.fields, width = x.width;
    const float* const kept = kept_for + field * x.rows.size(0) * width;
    with_lanes_of(width, [&]<class V>(V) INTERPLAY_INLINE_LAMBDA {
      for (int64_t u = 0; u < b.count; ++u) {
        float* const sum = b.sum_of(u);
        int32_t p = b.begin[u];
        const int32_t end = b.begin[u + 1];
        const auto add = [&]<size_t kReads>(std::array<float, kReads> d) INTERPLAY_INLINE_LAMBDA {
          for (; p + int32_t(kReads) <= end; p += int32_t(kReads)) {
            std::array<const int32_t*, kReads> partner;
            for (size_t r = 0; r < kReads; ++r) {
              const int64_t at = b.position[p + int32_t(r)];
              partner[r] = place + at * fields, d[r] = dz[at];
            }
            RowCopies::add_partners<V>(kept, partner, d, field, fields, width, sum);
          }
        };
        add(std::array<float, 4>{});  // four reads at a time: a fourth of the traffic of sums
        add(std::array<float, 1>{});
      }
    });
  }
  at::Tensor dz_;  // f32 [B]
  std::shared_ptr<const RowCopies> copies_;
  int64_t field_;
};

/// z [B], from the tables themselves.
INTERPLAY_CLONES void read_rows(TableReader& tables, const float* others, int64_t fields, int64_t width, int64_t begin,
                                int64_t end, float* z) {
  const auto first = int64_t(tables.fields()), row = fields * width;
  std::vector<const float*> e(size_t(fields), nullptr);
  with_lanes_of(width, [&]<class V>(V) INTERPLAY_INLINE_LAMBDA {
    for (int64_t b = begin; b < end; ++b) {
      std::copy_n(tables.read(b, end), first, e.data());
      for (int64_t f = first; f < fields; ++f) e[size_t(f)] = others + (b * (fields - first) + f - first) * row;
      z[b] = pair_sum<V>(e.data(), fields, width);
    }
  });
}

/// z [B] of parts whose others are given apart: [B, F2, F K], or empty.
at::Tensor run_ffm(const FieldVectors::Parts& parts, const at::Tensor& others) {
  const StageScope stage(Stage::gather);
  const auto contiguous = others.contiguous();
  const float* const more = others.numel() > 0 ? contiguous.const_data_ptr<float>() : nullptr;
  const TableReader tables(parts.ids, parts.tables);
  const int64_t fields = int64_t(tables.fields()) + (more ? others.size(1) : 0);
  auto z = at::empty({parts.ids.size(0)}, at::TensorOptions().dtype(at::kFloat));
  float* const to = z.mutable_data_ptr<float>();
  at::parallel_for(0, z.size(0), kFfmRowsPerTask, [&](int64_t begin, int64_t end) {
    TableReader own = tables;
    read_rows(own, more, fields, parts.vector_width() / fields, begin, end, to);
  });
  return z;
}

/// What the backward pass needs.
struct Kept : torch::CustomClassHolder {
  Kept(FieldVectors::Parts p, std::shared_ptr<const RowCopies> c) : parts(std::move(p)), copies(std::move(c)) {}
  FieldVectors::Parts parts;
  std::shared_ptr<const RowCopies> copies;
};

/// A node's inputs have to be defined.
struct FfmNode : torch::autograd::Function<FfmNode> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor&, const at::Tensor& others,
                            const FieldVectors::Parts& parts) {
    const StageScope stage(Stage::gather);
    const auto copies = std::make_shared<RowCopies>(parts, others);
    auto z = at::empty({parts.ids.size(0)}, at::TensorOptions().dtype(at::kFloat));
    float* const to = z.mutable_data_ptr<float>();
    at::parallel_for(0, z.size(0), kFfmRowsPerTask,
                     [&](int64_t begin, int64_t end) { copies->sum_pairs(begin, end, to); });
    auto without_others = parts;
    without_others.others = at::Tensor();  // an input of the node
    context->saved_data["kept"] = c10::IValue::make_capsule(c10::make_intrusive<Kept>(without_others, copies));
    return z;
  }
  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const auto dz = gradients[0].contiguous();  // [B]
    const auto capsule = context->saved_data["kept"].toCapsule();
    const auto& kept = static_cast<Kept&>(*capsule);
    const auto& parts = kept.parts;
    const auto& copies = kept.copies;
    const auto tables = int64_t(parts.tables.size());
    for (int64_t f = 0; f < tables; ++f)
      parts.tables[size_t(f)]->storage()->record(parts.ids, f, std::make_shared<FfmGradient>(dz, copies, f));
    std::vector<at::Tensor> d_others;
    for (int64_t f = tables; f < copies->fields; ++f)
      d_others.push_back(FfmGradient(dz, copies, f).each(at::Tensor(), at::Tensor()));
    return {at::Tensor(), d_others.empty() ? at::Tensor() : at::stack(d_others, 1), at::Tensor()};
  }
};

/// The plain twin. f32 [B, F, F K] -> f32 [B]
at::Tensor plain_ffm(const at::Tensor& e) {
  const int64_t fields = e.size(1);
  const auto vectors = e.reshape({e.size(0), fields * fields, e.size(2) / fields});  // [B, F F, K]
  const auto [left, right] = all_pairs(fields);
  const auto from = (left * fields + right).to(e.device()), to = (right * fields + left).to(e.device());  // [P]
  return (vectors.index_select(1, from) * vectors.index_select(1, to)).sum({1, 2});
}

/// The tables are here, and none of them narrower than the others.
bool is_fused_ffm(const FieldVectors& fields) {
  const auto& parts = fields.parts();
  if (!parts.ids.defined() || !parts.ids.device().is_cpu()) return false;
  const auto is_whole = [&](const Embedding& t) { return t->width() == parts.vector_width(); };
  return std::all_of(parts.tables.begin(), parts.tables.end(), is_whole);
}

}  // namespace

at::Tensor ffm(const FieldVectors& fields) {
  INTERPLAY_CHECK(fields.width() % fields.fields() == 0,
                  "ffm: rows of {} numbers for {} fields; a row holds a vector for each field", fields.width(),
                  fields.fields());
  if (PlainScope::active()) return watched_call("interplay::ffm", fields.tensor());
  if (!is_fused_ffm(fields)) return plain_ffm(fields);
  const auto& parts = fields.parts();
  if (!at::GradMode::is_enabled()) return run_ffm(parts, parts.others_or_empty());
  return FfmNode::apply(gradient_anchor(), parts.others_or_empty(), parts);
}

TORCH_LIBRARY_FRAGMENT(interplay, m) { m.def("ffm(Tensor vectors) -> Tensor", &plain_ffm); }

}  // namespace interplay::nn
