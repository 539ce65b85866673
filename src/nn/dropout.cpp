#include <interplay/nn/dropout.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>

#include <interplay/base/error.h>
#include <interplay/base/simd.h>
#include <interplay/nn/dense_rows.h>
#include <interplay/nn/plain_scope.h>

namespace interplay::nn {
namespace {

using simd::Floats;
using simd::Ints;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;
using Words = uint32_t __attribute__((vector_size(64)));

/// What decides which numbers are kept: those whose word is not below `bound`, of 2^32.
struct Keep {
  uint64_t seed;
  uint32_t bound;
  float scale;

  Keep(uint64_t drawn, double share)
      : seed(drawn), bound(uint32_t(std::ldexp(share, 32))), scale(float(1 / (1 - share))) {}
};

/// A bijection of 32 bits in which every bit of the input moves every bit of the output (C. Wellons, "Prospecting for
/// hash functions", lowbias32).
INTERPLAY_INLINE Words mixed(Words w) {
  w = (w ^ (w >> 16)) * 0x7feb352du;
  w = (w ^ (w >> 15)) * 0x846ca68bu;
  return w ^ (w >> 16);
}

/// y = x where kept. `first`: place of the first number; of a stretch of 2^32 numbers one seed.
INTERPLAY_CLONES void keep_some(const Keep& keep, const float* x, float* y, int64_t first, int64_t count) {
  constexpr Words kPlace{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
  const auto low = uint32_t(keep.seed), high = uint32_t(keep.seed >> 32) + uint32_t(first >> 32) * 0x9e3779b9u;
  for (int64_t k = 0; k < count; k += simd::kLanes) {
    const Words place = kPlace + uint32_t(first + k);
    const Words word = mixed(mixed(place ^ low) + high);
    const auto kept = reinterpret_cast<Ints>(word >= keep.bound);
    const auto masked = [&](Floats value) INTERPLAY_INLINE_LAMBDA {
      return reinterpret_cast<Floats>(reinterpret_cast<Ints>(value * keep.scale) & kept);
    };
    if (k + simd::kLanes <= count) {
      simd::store(y + k, masked(simd::load(x + k)));
    } else {
      Floats rest{};
      std::memcpy(&rest, x + k, size_t(count - k) * sizeof(float));
      simd::store_first(y + k, masked(rest), count - k);
    }
  }
}

at::Tensor keep_all(const Keep& keep, const at::Tensor& values) {
  constexpr int64_t kTogether = 1 << 15;
  const auto x = values.contiguous();
  auto y = at::empty_like(x, at::MemoryFormat::Contiguous);
  const float* const from = numbers<float>(x);
  float* const to = mutable_numbers<float>(y);
  const int64_t n = x.numel();
  at::parallel_for(0, (n + kTogether - 1) / kTogether, 1, [&](int64_t begin, int64_t end) {
    for (int64_t first = begin * kTogether; first < std::min(n, end * kTogether); first += kTogether)
      keep_some(keep, from + first, to + first, first, std::min(kTogether, n - first));
  });
  return y;
}

struct DropoutNode : torch::autograd::Function<DropoutNode> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, int64_t seed, double share) {
    context->saved_data["seed"] = seed;
    context->saved_data["share"] = share;
    return keep_all({uint64_t(seed), share}, x);
  }
  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const Keep keep(uint64_t(context->saved_data["seed"].toInt()), context->saved_data["share"].toDouble());
    return {keep_all(keep, gradients[0]), {}, {}};
  }
};

}  // namespace

at::Tensor dropout(const at::Tensor& x, double share, bool training) {
  INTERPLAY_ASSERT(share >= 0 && share < 1);
  if (!training || share == 0) return x;
  if (!x.is_cpu() || x.scalar_type() != at::kFloat || PlainScope::active()) return at::dropout(x, share, true);
  const auto seed = at::empty({1}, at::kLong).random_().item<int64_t>();
  return DropoutNode::apply(x, seed, share);
}

}  // namespace interplay::nn
