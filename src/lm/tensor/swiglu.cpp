#include "lm/tensor/swiglu.h"

#include <torch/csrc/autograd/custom_function.h>

#include "lm/tensor/one_pass.h"

namespace interplay::lm {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

template <class Number>
INTERPLAY_CLONES void swiglu_rows(const Number* gate_up, int64_t rows, int64_t width, Number* y) {
  for (int64_t r = 0; r < rows; ++r, gate_up += 2 * width, y += width) {
    const Number* const up = gate_up + width;
    int64_t k = 0;
    for (; k + simd::kLanes <= width; k += simd::kLanes) {
      const Floats g = simd::load(gate_up + k);
      simd::store(y + k, g / (exp(-g) + 1.f) * simd::load(up + k));
    }
    for (; k < width; ++k) {
      const float g = wide(gate_up[k]);
      narrow_to(y[k], g / (1 + std::exp(-g)) * wide(up[k]));
    }
  }
}

template <class Number>
INTERPLAY_CLONES void swiglu_gradient_rows(const Number* gate_up, const Number* d_y, int64_t rows, int64_t width,
                                           Number* d) {
  for (int64_t r = 0; r < rows; ++r, gate_up += 2 * width, d += 2 * width, d_y += width) {
    const Number* const up = gate_up + width;
    int64_t k = 0;
    for (; k + simd::kLanes <= width; k += simd::kLanes) {
      const Floats g = simd::load(gate_up + k), flow = simd::load(d_y + k);
      const Floats s = 1.f / (exp(-g) + 1.f);
      simd::store(d + k, flow * simd::load(up + k) * s * (g * (1.f - s) + 1.f));
      simd::store(d + width + k, flow * g * s);
    }
    for (; k < width; ++k) {
      const float g = wide(gate_up[k]), flow = wide(d_y[k]), s = 1 / (1 + std::exp(-g));
      narrow_to(d[k], flow * wide(up[k]) * s * (1 + g * (1 - s)));
      narrow_to(d[width + k], flow * g * s);
    }
  }
}

at::Tensor in_one_pass(const at::Tensor& from) {
  const int64_t rows = from.size(0), width = from.size(1) / 2;
  auto y = at::empty({rows, width}, from.options());
  for_type(from.scalar_type(), [&]<class Number>(Number*) {
    const Number* const in = numbers<Number>(from);
    Number* const out = mutable_numbers<Number>(y);
    parallel_rows(rows, [&](int64_t begin, int64_t end) {
      swiglu_rows<Number>(in + begin * 2 * width, end - begin, width, out + begin * width);
    });
  });
  return y;
}

struct Swiglu : torch::autograd::Function<Swiglu> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& gate_up) {
    const at::Tensor from = gate_up.contiguous();
    context->save_for_backward({from});
    return in_one_pass(from);
  }
  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const at::Tensor from = context->get_saved_variables()[0];
    const auto d_y = gradients[0].contiguous();
    const int64_t rows = from.size(0), width = from.size(1) / 2;
    auto d = at::empty_like(from);
    for_type(from.scalar_type(), [&]<class Number>(Number*) {
      const Number *const in = numbers<Number>(from), *const flow = numbers<Number>(d_y);
      Number* const out = mutable_numbers<Number>(d);
      parallel_rows(rows, [&](int64_t begin, int64_t end) {
        swiglu_gradient_rows<Number>(in + begin * 2 * width, flow + begin * width, end - begin, width,
                                     out + begin * 2 * width);
      });
    });
    return {d};
  }
};

}  // namespace

at::Tensor swiglu(const at::Tensor& gate_up) {
  if (is_fused(gate_up)) return at::GradMode::is_enabled() ? Swiglu::apply(gate_up) : in_one_pass(gate_up.contiguous());
  const auto halves = gate_up.chunk(2, -1);
  return at::silu(halves[0]) * halves[1];
}

}  // namespace interplay::lm
