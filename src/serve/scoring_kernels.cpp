#include "serve/scoring_kernels.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include <c10/util/Half.h>

#include <interplay/base/simd.h>
#include <interplay/nn/bf16.h>

#include "serve/fast_exp.h"

namespace interplay::scoring {
namespace {

using Graph = ForwardGraph;
using simd::kLanes;

constexpr int64_t kLookAhead = 4;  // rows whose table rows are on their way from memory

INTERPLAY_INLINE void copy_floats(const float* from, int64_t n, float* to) {
  int64_t k = 0;
  for (; k + kLanes <= n; k += kLanes) simd::store(to + k, simd::load(from + k));
  for (; k < n; ++k) to[k] = from[k];
}

/// Row `id` of a quantised table, as nn::dequantise() gives it.
INTERPLAY_INLINE void unpack(const PackedRows& of, int64_t id, int64_t n, float* to) {
  switch (of.type) {
    case PackedRows::Type::int8: {
      const auto* const q = static_cast<const int8_t*>(of.rows) + id * n;
      const float scale = simd::widen(of.scale[id / of.rows_a_scale]);
      for (int64_t k = 0; k < n; ++k) to[k] = float(q[k]) * scale;
      return;
    }
    case PackedRows::Type::bf16: {
      const auto* const q = static_cast<const uint16_t*>(of.rows) + id * n;
      for (int64_t k = 0; k < n; ++k) to[k] = simd::widen(q[k]);
      return;
    }
    case PackedRows::Type::fp16: {
      const auto* const q = static_cast<const at::Half*>(of.rows) + id * n;
      for (int64_t k = 0; k < n; ++k) to[k] = float(q[k]);
      return;
    }
  }
}

const char* row_of(const Graph::Table& t, int64_t id) {
  if (!t.packed) return reinterpret_cast<const char*>(t.rows + id * t.stride);
  return static_cast<const char*>(t.packed->rows) + id * t.width * (t.packed->type == PackedRows::Type::int8 ? 1 : 2);
}

INTERPLAY_INLINE void read_row(const Graph::Table& t, int64_t id, float* to) {
  if (t.packed) {
    unpack(*t.packed, id, t.width, to);
  } else {
    copy_floats(t.rows + id * t.stride, t.width, to);
  }
}

/// to[r][j] = f(from[r][j], j)
template <class F>
INTERPLAY_INLINE void each(Source from, int64_t n, Target out, F f) {
  for (int64_t r = 0; r < out.rows; ++r) {
    const float* const x = from.data + r * from.stride;
    float* const to = out.data + r * out.stride;
    for (int64_t j = 0; j < n; ++j) to[j] = f(x[j], j);
  }
}

/// As ATen: a NaN stays one, and what is not above 0 is 0 even where it is infinite.
INTERPLAY_CLONES void relu(Source x, int64_t n, Target out) {
  each(x, n, out, [](float v, int64_t) INTERPLAY_INLINE_LAMBDA { return v <= 0 ? 0.f : v; });
}

INTERPLAY_CLONES void leaky_relu(Source x, int64_t n, float slope, const float* slopes, Target out) {
  each(x, n, out,
       [&](float v, int64_t j) INTERPLAY_INLINE_LAMBDA { return v > 0 ? v : v * (slopes ? slopes[j] : slope); });
}

INTERPLAY_CLONES void at_least(Source x, int64_t n, float bound, Target out) {
  each(x, n, out, [&](float v, int64_t) INTERPLAY_INLINE_LAMBDA { return v < bound ? bound : v; });
}

INTERPLAY_CLONES void sigmoid(Source x, int64_t n, Target out) {
  const FastExp exp;
  each(x, n, out, [&](float v, int64_t) INTERPLAY_INLINE_LAMBDA { return exp.sigmoid(v); });
}

INTERPLAY_CLONES void silu(Source x, int64_t n, Target out) {
  const FastExp exp;
  each(x, n, out, [&](float v, int64_t) INTERPLAY_INLINE_LAMBDA { return v * exp.sigmoid(v); });
}

struct Addend {
  Source from;
  const int32_t* index;  // or nullptr
};

template <class F>
INTERPLAY_INLINE void combine_by(Addend l, Addend r, int64_t n, Target out, F f) {
  for (int64_t row = 0; row < out.rows; ++row) {
    const float *const x = l.from.data + row * l.from.stride, *const y = r.from.data + row * r.from.stride;
    float* const to = out.data + row * out.stride;
    if (!l.index && !r.index) {
      for (int64_t j = 0; j < n; ++j) to[j] = f(x[j], y[j]);
    } else {
      for (int64_t j = 0; j < n; ++j) to[j] = f(x[l.index ? l.index[j] : j], y[r.index ? r.index[j] : j]);
    }
  }
}

// Half of simd::Floats: sixteen floats are two registers of AVX2, and sums of them were kept in memory.
using Eight = float __attribute__((vector_size(32)));
using Four = float __attribute__((vector_size(16)));
template <class Vector>
constexpr int64_t kWidth = 1;
template <>
constexpr int64_t kWidth<Eight> = 8;
template <>
constexpr int64_t kWidth<Four> = 4;

template <class Vector>
INTERPLAY_INLINE Vector load(const float* from) {
  Vector v;
  std::memcpy(&v, from, sizeof(Vector));
  return v;
}

template <class Vector>
INTERPLAY_INLINE float sum_of(Vector v) {
  float lanes[size_t(kWidth<Vector>)], total = 0;
  std::memcpy(lanes, &v, sizeof(Vector));
  for (const float lane : lanes) total += lane;
  return total;
}

INTERPLAY_INLINE float dot_of(const float* x, const float* y, int64_t n) {
  Eight sum{}, other{};
  int64_t k = 0;
  for (; k + 16 <= n; k += 16) {
    sum += load<Eight>(x + k) * load<Eight>(y + k);
    other += load<Eight>(x + k + 8) * load<Eight>(y + k + 8);
  }
  float rest = 0;
  for (; k < n; ++k) rest += x[k] * y[k];
  return sum_of(sum + other) + rest;
}

/// to += factor * x
INTERPLAY_INLINE void add_scaled(float factor, const float* x, int64_t n, float* to) {
  for (int64_t j = 0; j < n; ++j) to[j] += factor * x[j];
}

/// Of K numbers each, into `to`.
INTERPLAY_INLINE void product_of(const float* e, const int32_t* set, int64_t order, int64_t K, float* to) {
  const float *const x = e + set[0] * K, *const y = e + set[1] * K;
  for (int64_t k = 0; k < K; ++k) to[k] = x[k] * y[k];
  for (int64_t m = 2; m < order; ++m) {
    const float* const z = e + set[m] * K;
    for (int64_t k = 0; k < K; ++k) to[k] *= z[k];
  }
}

INTERPLAY_CLONES void set_products(const Graph::Node& node, const int32_t* which, int64_t count, Source x, Target out,
                                   float* scratch) {
  const int64_t K = node.inner, order = node.reduced;
  for (int64_t r = 0; r < out.rows; ++r) {
    const float* const e = x.data + r * x.stride;
    float* const to = out.data + r * out.stride;
    for (int64_t i = 0; i < count; ++i) {
      const int32_t* const set = node.sets.data() + which[i] * order;
      if (!node.summed) {
        product_of(e, set, order, K, to + which[i] * K);
      } else if (order == 2) {
        to[which[i]] = dot_of(e + set[0] * K, e + set[1] * K, K);
      } else {
        product_of(e, set, order - 1, K, scratch);
        to[which[i]] = dot_of(scratch, e + set[order - 1] * K, K);
      }
    }
  }
}

/// Sums of numbers that lie together.
INTERPLAY_INLINE void sum_parts(const Graph::Node& node, float factor, Source x, Target out) {
  for (int64_t r = 0; r < out.rows; ++r) {
    for (int64_t o = 0; o < node.outer; ++o) {
      const float* const from = x.data + r * x.stride + o * node.reduced;
      Eight sum{};
      float rest = 0;
      int64_t k = 0;
      for (; k + 8 <= node.reduced; k += 8) sum += load<Eight>(from + k);
      for (; k < node.reduced; ++k) rest += from[k];
      out.data[r * out.stride + o] = (sum_of(sum) + rest) * factor;
    }
  }
}

/// The sum over pairs of vectors of K numbers, of x and of y, of which `places` says where they begin.
template <class Vector>
INTERPLAY_INLINE float pair_sums(const float* x, const float* y, std::span<const int32_t> places, int64_t K) {
  constexpr int64_t L = kWidth<Vector>;
  Vector sum{}, other{};
  size_t p = 0;
  for (; p + 4 <= places.size(); p += 4) {
    for (int64_t k = 0; k < K; k += L) {
      sum += load<Vector>(x + places[p] + k) * load<Vector>(y + places[p + 1] + k);
      other += load<Vector>(x + places[p + 2] + k) * load<Vector>(y + places[p + 3] + k);
    }
  }
  for (; p < places.size(); p += 2)
    for (int64_t k = 0; k < K; k += L) sum += load<Vector>(x + places[p] + k) * load<Vector>(y + places[p + 1] + k);
  return sum_of(sum + other);
}

/// Softmax attention of one head of one row: q, k, v and out [F, D]; D a multiple of 8 where `Vector` is eight floats.
/// `scratch`: [(1 + D) F padded to 8].
template <class Vector>
INTERPLAY_INLINE void attend_by(const float* q, const float* k, const float* v, int64_t F, int64_t D, float factor,
                                float* scratch, float* out) {
  constexpr int64_t L = kWidth<Vector>;
  const FastExp exp;
  const int64_t padded = (F + 7) / 8 * 8;
  float *const weight = scratch, *const by_number = scratch + padded;  // k [D, padded]
  for (int64_t d = 0; d < D; ++d)
    for (int64_t j = 0; j < padded; ++j) by_number[d * padded + j] = j < F ? k[j * D + d] : 0.f;
  for (int64_t i = 0; i < F; ++i) {
    float most = -INFINITY, total = 0;
    for (int64_t j = 0; j < padded; j += 8) {
      Eight score{};
      for (int64_t d = 0; d < D; ++d) score += q[i * D + d] * load<Eight>(by_number + d * padded + j);
      score *= factor;
      std::memcpy(weight + j, &score, sizeof(Eight));
    }
    for (int64_t j = 0; j < F; ++j) most = weight[j] > most ? weight[j] : most;
    for (int64_t j = 0; j < padded; ++j) weight[j] = exp(weight[j] - most);
    for (int64_t j = 0; j < F; ++j) total += weight[j];
    for (int64_t d = 0; d < D; d += L) {
      Vector sum{};
      for (int64_t j = 0; j < F; ++j) sum += weight[j] * load<Vector>(v + j * D + d);
      sum /= total;
      std::memcpy(out + i * D + d, &sum, sizeof(Vector));
    }
  }
}

INTERPLAY_CLONES void attend(const float* q, const float* k, const float* v, int64_t F, int64_t D, float factor,
                             float* scratch, float* out) {
  if (D % 8 == 0) return attend_by<Eight>(q, k, v, F, D, factor, scratch, out);
  attend_by<float>(q, k, v, F, D, factor, scratch, out);
}

}  // namespace

INTERPLAY_CLONES void look_up(const Graph::Table& t, const int32_t* ids, int64_t ids_stride, Target out) {
  for (int64_t r = 0; r < out.rows; ++r) {
    if (r + kLookAhead < out.rows) __builtin_prefetch(row_of(t, ids[(r + kLookAhead) * ids_stride]), 0, 2);
    read_row(t, ids[r * ids_stride], out.data + r * out.stride + t.to);
  }
}

INTERPLAY_CLONES void look_up(const std::vector<Graph::Table>& tables, const int32_t* ids, int64_t ids_stride,
                              Target out) {
  for (int64_t r = 0; r < out.rows; ++r) {
    const int32_t* const id = ids + r * ids_stride;
    const bool ahead = r + kLookAhead < out.rows;
    for (const auto& t : tables) {
      if (ahead) __builtin_prefetch(row_of(t, id[kLookAhead * ids_stride + t.column]), 0, 2);
      read_row(t, id[t.column], out.data + r * out.stride + t.to);
    }
  }
}

INTERPLAY_CLONES void copy_run(Source from, int64_t count, Target out) {
  for (int64_t r = 0; r < out.rows; ++r) {
    if (from.data) {
      copy_floats(from.data + r * from.stride, count, out.data + r * out.stride);
    } else {
      std::fill_n(out.data + r * out.stride, count, 0.f);
    }
  }
}

namespace {

void unary(const Graph::Node& node, Source x, Target out) {
  const int64_t n = node.n;
  const auto parameter = float(node.parameter);
  switch (node.unary) {
    case Graph::Unary::relu: return relu(x, n, out);
    case Graph::Unary::leaky_relu: return leaky_relu(x, n, parameter, nullptr, out);
    case Graph::Unary::prelu: return leaky_relu(x, n, 0, node.weight.data(), out);
    case Graph::Unary::at_least: return at_least(x, n, parameter, out);
    case Graph::Unary::sigmoid: return sigmoid(x, n, out);
    case Graph::Unary::silu: return silu(x, n, out);
    case Graph::Unary::tanh: return each(x, n, out, [](float v, int64_t) { return std::tanh(v); });
    case Graph::Unary::exp: return each(x, n, out, [](float v, int64_t) { return std::exp(v); });
    case Graph::Unary::abs: return each(x, n, out, [](float v, int64_t) { return std::fabs(v); });
    case Graph::Unary::gelu:
      return each(x, n, out, [](float v, int64_t) { return 0.5f * v * (1 + std::erf(v * 0.70710678118654752f)); });
  }
}

INTERPLAY_CLONES void combine(Graph::Binary how, Addend l, Addend r, int64_t n, Target out) {
  switch (how) {
    case Graph::Binary::add:
      combine_by(l, r, n, out, [](float x, float y) INTERPLAY_INLINE_LAMBDA { return x + y; });
      break;
    case Graph::Binary::subtract:
      combine_by(l, r, n, out, [](float x, float y) INTERPLAY_INLINE_LAMBDA { return x - y; });
      break;
    case Graph::Binary::multiply:
      combine_by(l, r, n, out, [](float x, float y) INTERPLAY_INLINE_LAMBDA { return x * y; });
      break;
    case Graph::Binary::divide:
      combine_by(l, r, n, out, [](float x, float y) INTERPLAY_INLINE_LAMBDA { return x / y; });
      break;
  }
}

INTERPLAY_CLONES void dice(const Graph::Node& node, Source x, Target out) {
  const float *const a = node.weight.data(), *const b = node.bias.data(), *const c = node.share.data();
  const FastExp exp;
  each(x, node.n, out, [&](float v, int64_t j) INTERPLAY_INLINE_LAMBDA {
    return v * (c[j] + (1.f - c[j]) * exp.sigmoid(v * a[j] + b[j]));
  });
}

INTERPLAY_CLONES void scale(const Graph::Node& node, Source x, Target out) {
  const float *const a = node.weight.data(), *const b = node.bias.data();
  each(x, node.n, out, [&](float v, int64_t j) INTERPLAY_INLINE_LAMBDA { return v * a[j] + b[j]; });
}

void normalise(const Graph::Node& node, Source x, Target out) {
  const int64_t n = node.n / node.outer;
  for (int64_t r = 0; r < out.rows; ++r) {
    for (int64_t o = 0; o < node.outer; ++o) {
      const float* const from = x.data + r * x.stride + o * n;
      float* const to = out.data + r * out.stride + o * n;
      double sum = 0, squares = 0;
      for (int64_t j = 0; j < n; ++j) sum += from[j];
      const double mean = sum / double(n);
      for (int64_t j = 0; j < n; ++j) squares += (from[j] - mean) * (from[j] - mean);
      const double inverse = 1 / std::sqrt(squares / double(n) + node.parameter);
      for (int64_t j = 0; j < n; ++j)
        to[j] = float((from[j] - mean) * inverse) * node.weight[size_t(j)] + node.bias[size_t(j)];
    }
  }
}

INTERPLAY_CLONES void sum(const Graph::Node& node, Source x, Target out) {
  const auto factor = float(node.factor);
  if (node.inner == 1) return sum_parts(node, factor, x, out);
  for (int64_t r = 0; r < out.rows; ++r) {
    const float* from = x.data + r * x.stride;
    float* to = out.data + r * out.stride;
    for (int64_t o = 0; o < node.outer; ++o, to += node.inner) {
      std::fill_n(to, node.inner, 0.f);
      for (int64_t i = 0; i < node.reduced; ++i, from += node.inner)
        for (int64_t k = 0; k < node.inner; ++k) to[k] += from[k];
      if (factor != 1)
        for (int64_t k = 0; k < node.inner; ++k) to[k] *= factor;
    }
  }
}

INTERPLAY_CLONES void dot(const Graph::Node& node, Source x, Source y, Target out) {
  for (int64_t r = 0; r < out.rows; ++r) {
    for (int64_t o = 0; o < node.outer; ++o) {
      const int64_t at = o * node.reduced;
      out.data[r * out.stride + o] = dot_of(x.data + r * x.stride + at, y.data + r * y.stride + at, node.reduced);
    }
  }
}

void binary(const Graph::Node& node, std::span<const Source> inputs, Target out) {
  size_t next = 0;
  const auto term = [&](const Graph::Operand& o) {
    if (o.node < 0) return Addend{{o.constant.data(), 0}, nullptr};
    return Addend{inputs[next++], o.index.empty() ? nullptr : o.index.data()};
  };
  const Addend left = term(node.left), right = term(node.right);
  combine(node.binary, left, right, node.n, out);
}

}  // namespace

bool apply(const Graph::Node& node, std::span<const Source> inputs, Target out) {
  switch (node.op) {
    case Graph::Op::unary: return unary(node, inputs[0], out), true;
    case Graph::Op::dice: return dice(node, inputs[0], out), true;
    case Graph::Op::scale: return scale(node, inputs[0], out), true;
    case Graph::Op::normalise: return normalise(node, inputs[0], out), true;
    case Graph::Op::sum: return sum(node, inputs[0], out), true;
    case Graph::Op::dot: return dot(node, inputs[0], inputs[1], out), true;
    case Graph::Op::binary: return binary(node, inputs, out), true;
    default: return false;
  }
}

void products(const Graph::Node& node, std::span<const int32_t> which, Source x, float* scratch, Target out) {
  set_products(node, which.data(), int64_t(which.size()), x, out, scratch);
}

INTERPLAY_CLONES void add_pairs(int64_t K, std::span<const int32_t> places, Source x, Source y, Target out) {
  if (places.empty()) return;
  for (int64_t r = 0; r < out.rows; ++r) {
    const float *const left = x.data + r * x.stride, *const right = y.data + r * y.stride;
    out.data[r * out.stride] += K % 8 == 0   ? pair_sums<Eight>(left, right, places, K)
                                : K % 4 == 0 ? pair_sums<Four>(left, right, places, K)
                                             : pair_sums<float>(left, right, places, K);
  }
}

void attention(const Graph::Node& node, Source q, Source k, Source v, float* scratch, Target out) {
  const int64_t F = node.reduced, D = node.inner;
  for (int64_t r = 0; r < out.rows; ++r) {
    for (int64_t h = 0; h < node.outer; ++h) {
      const int64_t at = h * F * D;
      attend(q.data + r * q.stride + at, k.data + r * k.stride + at, v.data + r * v.stride + at, F, D,
             float(node.factor), scratch, out.data + r * out.stride + at);
    }
  }
}

INTERPLAY_CLONES void pool(Source x, Source a, int64_t factors, int64_t entries, int64_t n, float* out) {
  const int64_t part = a.data ? n / factors : n;
  std::fill_n(out, n, 0.f);
  for (int64_t e = 0; e < entries; ++e) {
    const float* const from = x.data + e * x.stride;
    for (int64_t first = 0, p = 0; first < n; first += part, ++p)
      add_scaled(a.data ? a.data[e * a.stride + p] : 1, from + first, part, out + first);
  }
}

INTERPLAY_CLONES void softmax(Source x, int64_t n, Target out) {
  const FastExp exp;
  for (int64_t j = 0; j < n; ++j) {
    float most = -INFINITY, total = 0;
    for (int64_t e = 0; e < out.rows; ++e) most = std::max(most, x.data[e * x.stride + j]);
    for (int64_t e = 0; e < out.rows; ++e) total += out.data[e * out.stride + j] = exp(x.data[e * x.stride + j] - most);
    for (int64_t e = 0; e < out.rows; ++e) out.data[e * out.stride + j] /= total;
  }
}

}  // namespace interplay::scoring
