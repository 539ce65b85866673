#pragma once

#include <algorithm>
#include <cstdint>

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>

#include <interplay/base/simd.h>
#include <interplay/base/tasks.h>
#include <interplay/nn/bf16.h>

/// What dense layers do to the rows of a batch beside their matrix products, for numbers of f32 (float) and bf16
/// (uint16_t, their bits).
namespace interplay::nn {

/// Blocks of batch rows, shared out among `parts` threads so that each has a contiguous share.
struct Blocks {
  static constexpr int64_t kRows = 512;
  int64_t rows, count, parts;
  explicit Blocks(int64_t n)
      : rows(n), count((n + kRows - 1) / kRows), parts(std::min<int64_t>(count, at::get_num_threads())) {}
  int64_t begin(int64_t part) const { return part * count / parts; }
  int64_t first(int64_t block) const { return block * kRows; }
  int64_t size(int64_t block) const { return std::min(kRows, rows - first(block)); }
};

template <class Number>
const Number* numbers(const at::Tensor& t) {
  return static_cast<const Number*>(t.const_data_ptr());
}
template <class Number>
Number* mutable_numbers(const at::Tensor& t) {
  return static_cast<Number*>(t.mutable_data_ptr());
}

/// A gradient that arrives at a node, or `own` made of it, is the node's alone to write on unless this holds.
inline bool is_read_elsewhere(const at::Tensor& own, const at::Tensor& arrived) {
  return own.is_same(arrived) && (own.use_count() > 2 || own.storage().use_count() > 1);
}

namespace detail {
INTERPLAY_INLINE float wide(float x) { return x; }
INTERPLAY_INLINE float wide(uint16_t x) { return simd::widen(x); }
INTERPLAY_INLINE void narrow_to(float& to, float x) { to = x; }
INTERPLAY_INLINE void narrow_to(uint16_t& to, float x) { to = simd::narrow(x); }
}  // namespace detail

/// g = y > 0 ? dy : 0 in place of dy, and sum += g, for one block of rows. `y` nullptr: g = dy.
template <class Number>
INTERPLAY_CLONES void mask_rows(Number* dy, const Number* y, int64_t rows, int64_t width, float* sum) {
  for (int64_t r = 0; r < rows; ++r) {
    Number* const g = dy + r * width;
    const Number* const at = y ? y + r * width : nullptr;
    int64_t k = 0;
    for (; k + simd::kLanes <= width; k += simd::kLanes) {
      auto all = simd::load(g + k);
      if (at) {
        all = simd::load(at + k) <= 0 ? simd::Floats{} : all;  // as ATen: a NaN lets it pass
        simd::store(g + k, all);
      }
      simd::store(sum + k, simd::load(sum + k) + all);
    }
    for (; k < width; ++k) {
      if (at && detail::wide(at[k]) <= 0) g[k] = 0;
      sum[k] += detail::wide(g[k]);
    }
  }
}

template <class Number>
INTERPLAY_CLONES void dot_rows(const Number* x, const float* w, float bias, int64_t rows, int64_t width, float* z) {
  for (int64_t r = 0; r < rows; ++r) {
    const Number* const at = x + r * width;
    simd::Floats sum{};
    int64_t k = 0;
    for (; k + simd::kLanes <= width; k += simd::kLanes) sum += simd::load(at + k) * simd::load(w + k);
    float rest = bias;
    for (; k < width; ++k) rest += detail::wide(at[k]) * w[k];
    z[r] = simd::sum(sum) + rest;
  }
}

/// dx [rows, width] = dz w, dw [width] += dz x
template <class Number>
INTERPLAY_CLONES void dot_gradient_rows(const Number* x, const float* w, const float* dz, int64_t rows, int64_t width,
                                        Number* dx, float* dw) {
  for (int64_t r = 0; r < rows; ++r) {
    const Number* const from = x + r * width;
    Number* const to = dx + r * width;
    int64_t k = 0;
    for (; k + simd::kLanes <= width; k += simd::kLanes) {
      simd::store(to + k, dz[r] * simd::load(w + k));
      simd::store(dw + k, simd::load(dw + k) + dz[r] * simd::load(from + k));
    }
    for (; k < width; ++k) {
      detail::narrow_to(to[k], dz[r] * w[k]);
      dw[k] += dz[r] * detail::wide(from[k]);
    }
  }
}

/// x [N, in] times one row of weights, f32 [1, in], plus a bias, f32 [1] -> f32 [N, 1]
template <class Number>
struct Dot : torch::autograd::Function<Dot<Number>> {
  using AutogradContext = torch::autograd::AutogradContext;
  using variable_list = torch::autograd::variable_list;
  static at::Tensor run(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
    const int64_t n = x.size(0), width = x.size(1);
    auto z = at::empty({n, 1}, weight.options());
    const float b = bias.item<float>();
    const Blocks blocks(n);
    const Number* const from = numbers<Number>(x);
    const float* const w = weight.const_data_ptr<float>();
    float* const to = z.mutable_data_ptr<float>();
    run_tasks(blocks.count, [&](int64_t i) {
      dot_rows(from + blocks.first(i) * width, w, b, blocks.size(i), width, to + blocks.first(i));
    });
    return z;
  }
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& weight,
                            const at::Tensor& bias) {
    context->save_for_backward({x, weight});
    return run(x, weight, bias);
  }
  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const auto saved = context->get_saved_variables();
    const at::Tensor &x = saved[0], &weight = saved[1];
    const auto dz = gradients[0].contiguous();
    const int64_t n = x.size(0), width = x.size(1);
    const Blocks blocks(n);
    auto dx = at::empty_like(x);
    auto sums = at::zeros({std::max<int64_t>(1, blocks.count), width}, weight.options());
    const Number* const from = numbers<Number>(x);
    const float *const w = weight.const_data_ptr<float>(), *const d = dz.const_data_ptr<float>();
    Number* const to = mutable_numbers<Number>(dx);
    float* const sum = sums.mutable_data_ptr<float>();
    run_tasks(blocks.count, [&](int64_t i) {
      const int64_t at = blocks.first(i);
      dot_gradient_rows(from + at * width, w, d + at, blocks.size(i), width, to + at * width, sum + i * width);
    });
    return {dx, sums.sum(0, true), dz.sum(0)};
  }
};

template <class Number>
at::Tensor dot(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
  return at::GradMode::is_enabled() ? Dot<Number>::apply(x, weight, bias) : Dot<Number>::run(x, weight, bias);
}

}  // namespace interplay::nn
