#include "nn/table/written_gradient.h"

#include <algorithm>
#include <utility>

#include <ATen/ATen.h>

#include <interplay/base/simd.h>
#include <interplay/nn/bf16.h>

namespace interplay::nn {
namespace {

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

}  // namespace

std::shared_ptr<const RowGradient> written_gradient(at::Tensor grad, int64_t column) {
  if (column < 0 && grad.size(1) > 1 && grad.stride(1) != 1) grad = grad.contiguous();
  if (grad.scalar_type() == at::kBFloat16) return std::make_shared<WrittenGradient<uint16_t>>(std::move(grad), column);
  return std::make_shared<WrittenGradient<float>>(std::move(grad), column);
}

}  // namespace interplay::nn
