#include "nn/kernels/product_tiles.h"

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <new>

#include <ATen/ATen.h>

#include <interplay/base/simd.h>
#include <interplay/base/tasks.h>

namespace interplay::nn {

using simd::Floats;
using simd::kLanes;

SetList::SetList(const at::Tensor& sets) : order(sets.size(1)) {
  const auto contiguous = sets.contiguous();
  const int64_t count = sets.size(0), shared = order - 1;
  const int64_t* set = contiguous.const_data_ptr<int64_t>();
  last.reserve(size_t(count));
  for (int64_t p = 0; p < count; ++p, set += order) {
    if (p % kBlock == 0) block_groups.push_back(int32_t(groups.size()));
    if (p % kBlock == 0 || !std::equal(set, set + shared, groups.back().shared.begin())) {
      groups.push_back({{}, int32_t(p), 0});
      std::copy_n(set, shared, groups.back().shared.begin());
    }
    groups.back().end = int32_t(p + 1);
    last.push_back(int32_t(set[shared]));
  }
  block_groups.push_back(int32_t(groups.size()));
}

namespace {

constexpr int64_t kTilesPerTask = 8, kRowsPerTask = kTilesPerTask * kLanes, kBlock = SetList::kBlock;

/// Memory of this thread that a pass works in: one stretch each for what it uses at a time.
Floats* room(int which, int64_t vectors) {
  struct Stretch {
    std::unique_ptr<Floats, decltype(&std::free)> memory{nullptr, &std::free};
    int64_t vectors = 0;
  };
  thread_local std::array<Stretch, 6> stretches;
  Stretch& own = stretches[size_t(which)];
  if (own.vectors < vectors) {
    own.memory.reset(static_cast<Floats*>(std::aligned_alloc(sizeof(Floats), size_t(vectors) * sizeof(Floats))));
    if (!own.memory) throw std::bad_alloc();
    own.vectors = vectors;
  }
  return own.memory.get();
}

// Transposition, 8 x 8 floats at a time: what both AVX2 and AVX-512 do in single instructions.

using Eight = float __attribute__((vector_size(32)));
using LooseEight = float __attribute__((vector_size(32), aligned(4), may_alias));

INTERPLAY_INLINE void transpose_8x8(const float* from, int64_t from_stride, float* to, int64_t to_stride) {
  Eight r[8], a[8], b[8];
#pragma GCC unroll 8
  for (int i = 0; i < 8; ++i) r[i] = *reinterpret_cast<const LooseEight*>(from + i * from_stride);
#pragma GCC unroll 4
  for (int i = 0; i < 8; i += 2) {
    a[i] = __builtin_shufflevector(r[i], r[i + 1], 0, 8, 1, 9, 4, 12, 5, 13);
    a[i + 1] = __builtin_shufflevector(r[i], r[i + 1], 2, 10, 3, 11, 6, 14, 7, 15);
  }
#pragma GCC unroll 2
  for (int i = 0; i < 8; i += 4) {
    b[i] = __builtin_shufflevector(a[i], a[i + 2], 0, 1, 8, 9, 4, 5, 12, 13);
    b[i + 1] = __builtin_shufflevector(a[i], a[i + 2], 2, 3, 10, 11, 6, 7, 14, 15);
    b[i + 2] = __builtin_shufflevector(a[i + 1], a[i + 3], 0, 1, 8, 9, 4, 5, 12, 13);
    b[i + 3] = __builtin_shufflevector(a[i + 1], a[i + 3], 2, 3, 10, 11, 6, 7, 14, 15);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    r[i] = __builtin_shufflevector(b[i], b[i + 4], 0, 1, 2, 3, 8, 9, 10, 11);
    r[i + 4] = __builtin_shufflevector(b[i], b[i + 4], 4, 5, 6, 7, 12, 13, 14, 15);
  }
#pragma GCC unroll 8
  for (int i = 0; i < 8; ++i) *reinterpret_cast<LooseEight*>(to + i * to_stride) = r[i];
}

/// rows [count, width], `stride` apart -> tile [width, 16], zero past `count`
INTERPLAY_INLINE void to_tile(const float* rows, int64_t stride, int64_t count, int64_t width, Floats* tile) {
  float* const to = reinterpret_cast<float*>(tile);
  int64_t w = 0;
  if (count == kLanes) {
    for (; w + 8 <= width; w += 8) {
      transpose_8x8(rows + w, stride, to + w * kLanes, kLanes);
      transpose_8x8(rows + 8 * stride + w, stride, to + w * kLanes + 8, kLanes);
    }
  }
  for (; w < width; ++w) {
    for (int64_t r = 0; r < kLanes; ++r) to[w * kLanes + r] = r < count ? rows[r * stride + w] : 0;
  }
}

/// tile [width, 16] -> rows [count, width]
INTERPLAY_INLINE void from_tile(const Floats* tile, int64_t width, float* rows, int64_t stride, int64_t count) {
  const float* const from = reinterpret_cast<const float*>(tile);
  int64_t w = 0;
  if (count == kLanes) {
    for (; w + 8 <= width; w += 8) {
      transpose_8x8(from + w * kLanes, kLanes, rows + w, stride);
      transpose_8x8(from + w * kLanes + 8, kLanes, rows + 8 * stride + w, stride);
    }
  }
  for (; w < width; ++w) {
    for (int64_t r = 0; r < count; ++r) rows[r * stride + w] = from[w * kLanes + r];
  }
}

/// Sums over the lanes of each of `count` vectors, which are spent.
INTERPLAY_INLINE void lane_sums(Floats* v, int64_t count, float* sums) {
  float* const lanes = reinterpret_cast<float*>(v);
  int64_t p = 0;
  for (; p + 8 <= count; p += 8) {
    alignas(64) float t[16 * 8];
    transpose_8x8(lanes + p * kLanes, kLanes, t, 8);
    transpose_8x8(lanes + p * kLanes + 8, kLanes, t + 64, 8);
    Eight s{};
    for (int i = 0; i < 16; ++i) s += *reinterpret_cast<const LooseEight*>(t + 8 * i);
    *reinterpret_cast<LooseEight*>(sums + p) = s;
  }
  for (; p < count; ++p) {  // in the same order
    float s = 0;
    for (int i = 0; i < kLanes; ++i) s += lanes[p * kLanes + i];
    sums[p] = s;
  }
}

// Products in a tile.

/// The product of a group's shared fields: [K], in e itself where there is one.
INTERPLAY_INLINE const Floats* shared_product(const SetList& sets, const SetList::Group& group, const Floats* e,
                                              int64_t width, Floats* to) {
  const Floats* const a = e + group.shared[0] * width;
  if (sets.order == 2) return a;
  const Floats* const b = e + group.shared[1] * width;
  for (int64_t k = 0; k < width; ++k) to[k] = a[k] * b[k];
  if (sets.order == 4) {
    const Floats* const c = e + group.shared[2] * width;
    for (int64_t k = 0; k < width; ++k) to[k] *= c[k];
  }
  return to;
}

template <int kSets>
INTERPLAY_INLINE void dots(const Floats* h, const Floats* e, const int32_t* last, int64_t width, Floats* z) {
  const Floats* at[kSets];
  Floats sum[kSets];
#pragma GCC unroll 8
  for (int i = 0; i < kSets; ++i) {
    at[i] = e + last[i] * width;
    sum[i] = h[0] * at[i][0];
  }
  for (int64_t k = 1; k < width; ++k) {
    const Floats a = h[k];
#pragma GCC unroll 8
    for (int i = 0; i < kSets; ++i) sum[i] += a * at[i][k];
  }
#pragma GCC unroll 8
  for (int i = 0; i < kSets; ++i) z[i] = sum[i];
}

/// z [sets of the block]; h [K] is scratch
INTERPLAY_INLINE void block_products(const SetList& sets, int64_t block, const Floats* e, int64_t width, Floats* h,
                                     Floats* z) {
  const int64_t first = sets.first(block);
  for (int32_t n = sets.block_groups[size_t(block)]; n < sets.block_groups[size_t(block) + 1]; ++n) {
    const auto& group = sets.groups[size_t(n)];
    const Floats* const product = shared_product(sets, group, e, width, h);
    int64_t p = group.begin;
    const int32_t* const last = sets.last.data();
    for (; p + 8 <= group.end; p += 8) dots<8>(product, e, last + p, width, z + p - first);
    for (; p + 4 <= group.end; p += 4) dots<4>(product, e, last + p, width, z + p - first);
    for (; p < group.end; ++p) dots<1>(product, e, last + p, width, z + p - first);
  }
}

/// d_h += sum of g e, d of the last fields += g h
template <int kSets>
INTERPLAY_INLINE void spread(const Floats* h, Floats* d_h, const Floats* e, Floats* d, const int32_t* last,
                             int64_t width, const Floats* g) {
  const Floats* at[kSets];
  Floats* to[kSets];
  Floats own[kSets];
#pragma GCC unroll 8
  for (int i = 0; i < kSets; ++i) {
    at[i] = e + last[i] * width;
    to[i] = d + last[i] * width;
    own[i] = g[i];
  }
  for (int64_t k = 0; k < width; ++k) {
    const Floats a = h[k];
    Floats sum = d_h[k];
#pragma GCC unroll 8
    for (int i = 0; i < kSets; ++i) {
      sum += own[i] * at[i][k];
      to[i][k] += own[i] * a;
    }
    d_h[k] = sum;
  }
}

/// d [W] += the gradients that g [sets of the block] leaves; h [2 K] is scratch
INTERPLAY_INLINE void block_gradients(const SetList& sets, int64_t block, const Floats* e, int64_t width, Floats* h,
                                      const Floats* g, Floats* d) {
  const int64_t first = sets.first(block);
  Floats* const d_h = h + width;
  for (int32_t n = sets.block_groups[size_t(block)]; n < sets.block_groups[size_t(block) + 1]; ++n) {
    const auto& group = sets.groups[size_t(n)];
    const Floats* const product = shared_product(sets, group, e, width, h);
    for (int64_t k = 0; k < width; ++k) d_h[k] = Floats{};
    int64_t p = group.begin;
    const int32_t* const last = sets.last.data();
    for (; p + 8 <= group.end; p += 8) spread<8>(product, d_h, e, d, last + p, width, g + p - first);
    for (; p + 4 <= group.end; p += 4) spread<4>(product, d_h, e, d, last + p, width, g + p - first);
    for (; p < group.end; ++p) spread<1>(product, d_h, e, d, last + p, width, g + p - first);
    for (int64_t m = 0; m + 1 < sets.order; ++m) {  // the product rule
      Floats* const to = d + group.shared[size_t(m)] * width;
      for (int64_t k = 0; k < width; ++k) {
        Floats s = d_h[k];
        for (int64_t other = 0; other + 1 < sets.order; ++other) {
          if (other != m) s *= e[group.shared[size_t(other)] * width + k];
        }
        to[k] += s;
      }
    }
  }
}

// Passes over the rows of one task.

struct Rows {
  int64_t begin, end;
  int64_t tiles() const { return (end - begin + kLanes - 1) / kLanes; }
  int64_t first(int64_t tile) const { return begin + tile * kLanes; }
  int64_t count(int64_t tile) const { return std::min(kLanes, end - first(tile)); }
};

template <class Pass>
void each_rows(int64_t batch, const Pass& pass) {
  run_tasks((batch + kRowsPerTask - 1) / kRowsPerTask, [&](int64_t task) {
    pass(task, Rows{task * kRowsPerTask, std::min(batch, (task + 1) * kRowsPerTask)});
  });
}

INTERPLAY_INLINE void load_tile(const ProductInput& x, const Rows& rows, int64_t tile, Floats* e) {
  to_tile(x.e + rows.first(tile) * x.flat(), x.flat(), rows.count(tile), x.flat(), e);
}

/// Where the kept products of these rows' tiles begin, or nullptr.
Floats* kept_of(const KeptProducts& kept) {
  return kept.empty() ? nullptr : static_cast<Floats*>(kept.z.mutable_data_ptr());
}

/// Those of a block in one of these rows' tiles: kept, or computed into z.
INTERPLAY_INLINE const Floats* read_products(const SetList& sets, int64_t block, const Floats* kept, const Rows& rows,
                                             int64_t tile, const Floats* e, int64_t width, Floats* h, Floats* z) {
  if (kept) return kept + rows.first(tile) / kLanes * sets.size() + sets.first(block);
  block_products(sets, block, e, width, h, z);
  return z;
}

INTERPLAY_CLONES void products_of(const ProductInput& x, const SetList& sets, Rows rows, const Scaling* scaling,
                                  float* z, const Floats* kept) {
  Floats *const e = room(0, x.flat()), *const h = room(1, x.width), *const out = room(2, kBlock);
  for (int64_t t = 0; t < rows.tiles(); ++t) {
    if (!kept) load_tile(x, rows, t, e);
    for (int64_t b = 0; b < sets.blocks(); ++b) {
      const Floats* const found = read_products(sets, b, kept, rows, t, e, x.width, h, out);
      if (found != out) std::copy_n(found, sets.size(b), out);
      if (scaling) {
        const float *const a = scaling->scale + sets.first(b), *const m = scaling->mean + sets.first(b);
        for (int64_t p = 0; p < sets.size(b); ++p) out[p] = a[p] * (out[p] - m[p]);
      }
      from_tile(out, sets.size(b), z + rows.first(t) * sets.size() + sets.first(b), sets.size(), rows.count(t));
    }
  }
}

/// Sums over these rows of z - shift and of its square: [P] each.
INTERPLAY_CLONES void moments_of(const ProductInput& x, const SetList& sets, Rows rows, const float* shift, float* sum,
                                 float* square, Floats* keep) {
  const int64_t tiles = rows.tiles();
  Floats *const e = room(0, tiles * x.flat()), *const h = room(1, x.width), *const own = room(2, kBlock);
  Floats *const s = room(3, kBlock), *const q = room(4, kBlock);
  for (int64_t t = 0; t < tiles; ++t) load_tile(x, rows, t, e + t * x.flat());
  for (int64_t b = 0; b < sets.blocks(); ++b) {
    const int64_t count = sets.size(b);
    const float* const from = shift + sets.first(b);
    std::fill_n(s, count, Floats{});
    std::fill_n(q, count, Floats{});
    for (int64_t t = 0; t < tiles; ++t) {
      Floats* const z = keep ? keep + rows.first(t) / kLanes * sets.size() + sets.first(b) : own;
      block_products(sets, b, e + t * x.flat(), x.width, h, z);
      Floats is_row = simd::fill(1);
      for (int64_t i = rows.count(t); i < kLanes; ++i) is_row[i] = 0;
      for (int64_t p = 0; p < count; ++p) {
        const Floats c = (z[p] - from[p]) * is_row;
        s[p] += c;
        q[p] += c * c;
      }
    }
    lane_sums(s, count, sum + sets.first(b));
    lane_sums(q, count, square + sets.first(b));
  }
}

INTERPLAY_CLONES void sums_of(const ProductInput& x, const SetList& sets, Rows rows, const float* scale,
                              const float* mean, float* out, const Floats* kept) {
  Floats *const e = room(0, x.flat()), *const h = room(1, x.width), *const own = room(2, kBlock);
  for (int64_t t = 0; t < rows.tiles(); ++t) {
    if (!kept) load_tile(x, rows, t, e);
    Floats even{}, odd{};
    for (int64_t b = 0; b < sets.blocks(); ++b) {
      const Floats* const z = read_products(sets, b, kept, rows, t, e, x.width, h, own);
      const float *const a = scale + sets.first(b), *const m = mean + sets.first(b);
      int64_t p = 0;
      for (; p + 2 <= sets.size(b); p += 2) {
        even += a[p] * (z[p] - m[p]);
        odd += a[p + 1] * (z[p + 1] - m[p + 1]);
      }
      if (p < sets.size(b)) even += a[p] * (z[p] - m[p]);
    }
    simd::store_first(out + rows.first(t), even + odd, rows.count(t));
  }
}

/// A flow by rows alone, of sixteen of them; zero past the last.
INTERPLAY_INLINE Floats flow_of(const Flow& flow, const Rows& rows, int64_t tile) {
  Floats d{};
  for (int64_t i = 0; !flow.by_set && i < rows.count(tile); ++i) d[i] = flow.d[rows.first(tile) + i];
  return d;
}

/// A flow by set: [sets of the block, 16]
INTERPLAY_INLINE void load_flow(const Flow& flow, const SetList& sets, int64_t block, const Rows& rows, int64_t tile,
                                Floats* d) {
  to_tile(flow.d + rows.first(tile) * sets.size() + sets.first(block), sets.size(), rows.count(tile), sets.size(block),
          d);
}

INTERPLAY_CLONES void flow_statistics_of(const ProductInput& x, const SetList& sets, Rows rows, const float* mean,
                                         const Flow& flow, float* sum, float* dot, const Floats* kept) {
  const int64_t tiles = rows.tiles();
  Floats *const e = room(0, tiles * x.flat()), *const h = room(1, x.width), *const room_of_z = room(2, kBlock);
  Floats *const q = room(3, kBlock), *const s = room(4, kBlock), *const d = room(5, kBlock);
  for (int64_t t = 0; !kept && t < tiles; ++t) load_tile(x, rows, t, e + t * x.flat());
  for (int64_t b = 0; b < sets.blocks(); ++b) {
    const int64_t count = sets.size(b);
    const float* const m = mean + sets.first(b);
    std::fill_n(q, count, Floats{});
    std::fill_n(s, count, Floats{});
    for (int64_t t = 0; t < tiles; ++t) {
      const Floats* const z = read_products(sets, b, kept, rows, t, e + t * x.flat(), x.width, h, room_of_z);
      if (flow.by_set) {
        load_flow(flow, sets, b, rows, t, d);
        for (int64_t p = 0; p < count; ++p) {
          s[p] += d[p];
          q[p] += d[p] * (z[p] - m[p]);
        }
      } else {
        const Floats own = flow_of(flow, rows, t);
        for (int64_t p = 0; p < count; ++p) {
          s[p] += own;
          q[p] += own * (z[p] - m[p]);
        }
      }
    }
    lane_sums(s, count, sum + sets.first(b));
    lane_sums(q, count, dot + sets.first(b));
  }
}

/// With kSlope: from the batch's statistics, which need each product once more.
template <bool kSlope>
INTERPLAY_INLINE void scaled_gradients_loop(const ProductInput& x, const SetList& sets, Rows rows, const Scaling& by,
                                            const float* centre, const float* slope, const Flow& flow, float* d_e,
                                            const Floats* kept, const int64_t* place, int64_t places) {
  Floats *const e = room(0, x.flat()), *const h = room(1, 2 * x.width), *const z = room(2, kBlock);
  Floats *const d = room(3, x.flat()), *const g = room(4, kBlock);
  for (int64_t t = 0; t < rows.tiles(); ++t) {
    load_tile(x, rows, t, e);
    std::fill_n(d, x.flat(), Floats{});
    const Floats own = flow_of(flow, rows, t);
    for (int64_t b = 0; b < sets.blocks(); ++b) {
      const int64_t first = sets.first(b), count = sets.size(b);
      if (kSlope && !kept) block_products(sets, b, e, x.width, h, z);
      if (kSlope && kept) {
        const Floats* const of_tile = kept + rows.first(t) / kLanes * places;
        for (int64_t p = 0; p < count; ++p) z[p] = of_tile[place[first + p]];
      }
      if (flow.by_set) {
        load_flow(flow, sets, b, rows, t, g);
      } else {
        std::fill_n(g, count, own);
      }
      for (int64_t p = 0; p < count; ++p) {
        Floats v = g[p];
        if (kSlope) v -= centre[first + p] + (z[p] - by.mean[first + p]) * slope[first + p];
        g[p] = by.scale[first + p] * v;
      }
      block_gradients(sets, b, e, x.width, h, g, d);
    }
    from_tile(d, x.flat(), d_e + rows.first(t) * x.flat(), x.flat(), rows.count(t));
  }
}

INTERPLAY_CLONES void scaled_gradients_of(const ProductInput& x, const SetList& sets, Rows rows, const Scaling& by,
                                          const float* centre, const float* slope, const Flow& flow, float* d_e,
                                          const Floats* kept, const int64_t* place, int64_t places) {
  return slope ? scaled_gradients_loop<true>(x, sets, rows, by, centre, slope, flow, d_e, kept, place, places)
               : scaled_gradients_loop<false>(x, sets, rows, by, centre, slope, flow, d_e, kept, place, places);
}

int64_t tasks_of(int64_t batch) { return (batch + kRowsPerTask - 1) / kRowsPerTask; }

/// Sum of `parts` rows [P], in their order.
double sum_of(const std::vector<float>& rows, int64_t parts, int64_t size, int64_t p) {
  double sum = 0;
  for (int64_t i = 0; i < parts; ++i) sum += rows[size_t(i * size + p)];
  return sum;
}

}  // namespace

KeptProducts KeptProducts::of(const ProductInput& x, const SetList& sets) {
  constexpr int64_t kMostBytes = int64_t(16) << 20;  // beyond, memory is slower than the products of a tile
  const int64_t tiles = (x.batch + kLanes - 1) / kLanes, vectors = tiles * sets.size();
  if (vectors == 0 || vectors * int64_t(sizeof(Floats)) > kMostBytes) return {};
  return {at::empty({tiles, sets.size(), kLanes}, at::TensorOptions().dtype(at::kFloat))};
}

void products(const ProductInput& x, const SetList& sets, const Scaling* scaling, float* z, const KeptProducts& kept) {
  each_rows(x.batch, [&](int64_t, Rows rows) { products_of(x, sets, rows, scaling, z, kept_of(kept)); });
}

void product_sums(const ProductInput& x, const SetList& sets, const Scaling& scaling, float* out,
                  const KeptProducts& kept) {
  each_rows(x.batch,
            [&](int64_t, Rows rows) { sums_of(x, sets, rows, scaling.scale, scaling.mean, out, kept_of(kept)); });
}

void product_statistics(const ProductInput& x, const SetList& sets, float* mean, float* variance,
                        const KeptProducts& keep) {
  const int64_t parts = tasks_of(x.batch), size = sets.size();
  products_of(x, sets, {0, 1}, nullptr, mean,
              nullptr);  // one row's, so that what is squared is no larger than it must be
  std::vector<float> sum(size_t(parts * size)), square(size_t(parts * size));
  each_rows(x.batch, [&](int64_t task, Rows rows) {
    moments_of(x, sets, rows, mean, sum.data() + task * size, square.data() + task * size, kept_of(keep));
  });
  for (int64_t p = 0; p < size; ++p) {
    const double m = sum_of(sum, parts, size, p) / double(x.batch);
    variance[p] = float(std::max(0.0, sum_of(square, parts, size, p) / double(x.batch) - m * m));
    mean[p] = float(mean[p] + m);
  }
}

void flow_statistics(const ProductInput& x, const SetList& sets, const float* mean, const Flow& flow, float* sums,
                     float* dots, const KeptProducts& kept) {
  const int64_t parts = tasks_of(x.batch), size = sets.size();
  std::vector<float> sum(size_t(parts * size)), dot(size_t(parts * size));
  each_rows(x.batch, [&](int64_t task, Rows rows) {
    flow_statistics_of(x, sets, rows, mean, flow, sum.data() + task * size, dot.data() + task * size, kept_of(kept));
  });
  for (int64_t p = 0; p < size; ++p) {
    sums[p] = float(sum_of(sum, parts, size, p));
    dots[p] = float(sum_of(dot, parts, size, p));
  }
}

void product_gradients(const ProductInput& x, const SetList& sets, const float* d, float* d_e) {
  const std::vector<float> ones(size_t(sets.size()), 1.f);
  scaled_gradients(x, sets, {ones.data(), nullptr}, nullptr, nullptr, {d, true}, d_e);
}

void scaled_gradients(const ProductInput& x, const SetList& sets, const Scaling& scaling, const float* centre,
                      const float* slope, const Flow& flow, float* d_e, const KeptProducts& kept,
                      const int64_t* place) {
  const int64_t places = kept.empty() ? 0 : kept.z.size(1);
  each_rows(x.batch, [&](int64_t, Rows rows) {
    scaled_gradients_of(x, sets, rows, scaling, centre, slope, flow, d_e, kept_of(kept), place, places);
  });
}

}  // namespace interplay::nn
