#include "lm/tensor/rms_norm.h"

#include <cmath>

#include <torch/csrc/autograd/custom_function.h>

#include "lm/tensor/one_pass.h"

namespace interplay::lm {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

/// One stretch of rows. sum = h + a (a nullptr: sum is not written), y = norm.
template <class Number>
INTERPLAY_CLONES void norm_rows(const float* h, const Number* a, const float* weight, int64_t rows, int64_t width,
                                float eps, float* sum, Number* y) {
  for (int64_t r = 0; r < rows; ++r, h += width, y += width) {
    const float* x = h;
    Floats squares{};
    float rest = 0;
    int64_t k = 0;
    if (a) {
      for (; k + simd::kLanes <= width; k += simd::kLanes) {
        const Floats v = simd::load(h + k) + simd::load(a + k);
        simd::store(sum + k, v);
        squares += v * v;
      }
      for (; k < width; ++k) {
        sum[k] = h[k] + wide(a[k]);
        rest += sum[k] * sum[k];
      }
      x = sum;
      a += width;
      sum += width;
    } else {
      for (; k + simd::kLanes <= width; k += simd::kLanes) {
        const Floats v = simd::load(h + k);
        squares += v * v;
      }
      for (; k < width; ++k) rest += h[k] * h[k];
    }
    const float scale = 1 / std::sqrt((simd::sum(squares) + rest) / float(width) + eps);
    for (k = 0; k + simd::kLanes <= width; k += simd::kLanes)
      simd::store(y + k, simd::load(x + k) * scale * simd::load(weight + k));
    for (; k < width; ++k) narrow_to(y[k], x[k] * scale * weight[k]);
  }
}

/// d = d_sum (nullptr: 0) + the gradient through the norm of x; also rounded into d_a, unless nullptr.
template <class Number>
INTERPLAY_CLONES void norm_gradient_rows(const float* x, const float* weight, const float* d_sum, const Number* d_y,
                                         int64_t rows, int64_t width, float eps, float* d, Number* d_a) {
  for (int64_t r = 0; r < rows; ++r, x += width, d_y += width, d += width) {
    Floats squares{}, dots{};
    float rest_squares = 0, rest_dots = 0;
    int64_t k = 0;
    for (; k + simd::kLanes <= width; k += simd::kLanes) {
      const Floats v = simd::load(x + k);
      squares += v * v;
      dots += v * simd::load(weight + k) * simd::load(d_y + k);
    }
    for (; k < width; ++k) {
      rest_squares += x[k] * x[k];
      rest_dots += x[k] * weight[k] * wide(d_y[k]);
    }
    const float scale = 1 / std::sqrt((simd::sum(squares) + rest_squares) / float(width) + eps);
    const float back = scale * scale * scale * (simd::sum(dots) + rest_dots) / float(width);
    for (k = 0; k + simd::kLanes <= width; k += simd::kLanes) {
      Floats v = simd::load(weight + k) * simd::load(d_y + k) * scale - simd::load(x + k) * back;
      if (d_sum) v += simd::load(d_sum + k);
      simd::store(d + k, v);
      if (d_a) simd::store(d_a + k, v);
    }
    for (; k < width; ++k) {
      d[k] = weight[k] * wide(d_y[k]) * scale - x[k] * back + (d_sum ? d_sum[k] : 0.f);
      if (d_a) narrow_to(d_a[k], d[k]);
    }
    if (d_sum) d_sum += width;
    if (d_a) d_a += width;
  }
}

/// The sum and its norm, as add_rms_norm() gives them.
std::pair<at::Tensor, at::Tensor> in_one_pass(const at::Tensor& h, const at::Tensor& a, const at::Tensor& weight,
                                              double eps, at::ScalarType type) {
  const int64_t rows = h.size(0), width = h.size(1);
  const at::Tensor from = h.contiguous(), more = a.defined() ? a.to(type).contiguous() : a;
  const at::Tensor sum = a.defined() ? at::empty_like(from) : from;
  auto y = at::empty({rows, width}, from.options().dtype(type));
  for_type(type, [&]<class Number>(Number*) {
    const float *const in = numbers<float>(from), *const w = numbers<float>(weight);
    const Number* const other = more.defined() ? numbers<Number>(more) : nullptr;
    float* const out = a.defined() ? mutable_numbers<float>(sum) : nullptr;
    Number* const normed = mutable_numbers<Number>(y);
    parallel_rows(rows, [&](int64_t begin, int64_t end) {
      const int64_t at = begin * width;
      norm_rows<Number>(in + at, other ? other + at : nullptr, w, end - begin, width, float(eps),
                        out ? out + at : nullptr, normed + at);
    });
  });
  return {sum, y};
}

struct AddRmsNorm : torch::autograd::Function<AddRmsNorm> {
  static variable_list forward(AutogradContext* context, const at::Tensor& h, const std::optional<at::Tensor>& add,
                               const at::Tensor& weight, double eps, at::ScalarType type) {
    const at::Tensor a = add.value_or(at::Tensor());
    const auto [sum, y] = in_one_pass(h, a, weight, eps, type);
    context->save_for_backward({sum, weight});
    context->saved_data["eps"] = eps;
    context->saved_data["more"] = a.defined() ? int64_t(a.scalar_type()) : int64_t(-1);
    return a.defined() ? variable_list{sum, y} : variable_list{y};
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const auto saved = context->get_saved_variables();
    const auto eps = context->saved_data["eps"].toDouble();
    const auto more = context->saved_data["more"].toInt();
    const at::Tensor &x = saved[0], &weight = saved[1];
    const int64_t rows = x.size(0), width = x.size(1);
    at::Tensor d_sum = more >= 0 ? gradients[0] : at::Tensor(), d_y = gradients.back();
    if (d_sum.defined()) d_sum = d_sum.contiguous();
    at::Tensor d, d_a;
    if (d_y.defined()) {
      d_y = d_y.contiguous();
      d = at::empty_like(x);
      for_type(d_y.scalar_type(), [&]<class Number>(Number*) {
        const bool apart = more >= 0 && d_y.scalar_type() != at::kFloat;
        if (apart) d_a = at::empty_like(d_y);
        const float *const from = numbers<float>(x), *const w = numbers<float>(weight);
        const float* const through = d_sum.defined() ? numbers<float>(d_sum) : nullptr;
        const Number* const flow = numbers<Number>(d_y);
        float* const out = mutable_numbers<float>(d);
        Number* const rounded = apart ? mutable_numbers<Number>(d_a) : nullptr;
        parallel_rows(rows, [&](int64_t begin, int64_t end) {
          const int64_t at = begin * width;
          norm_gradient_rows<Number>(from + at, w, through ? through + at : nullptr, flow + at, end - begin, width,
                                     float(eps), out + at, rounded ? rounded + at : nullptr);
        });
      });
    } else {
      d = d_sum;
    }
    if (more >= 0 && !d_a.defined() && d.defined()) d_a = d;
    if (d_a.defined()) d_a = d_a.to(at::ScalarType(more));
    return {d, d_a, at::Tensor(), at::Tensor(), at::Tensor()};
  }
};

}  // namespace

std::pair<at::Tensor, at::Tensor> add_rms_norm(const at::Tensor& h, const at::Tensor& a, const at::Tensor& weight,
                                               double eps, at::ScalarType type) {
  if (is_fused(h)) {
    if (!at::GradMode::is_enabled()) return in_one_pass(h, a, weight, eps, type);
    const auto results = AddRmsNorm::apply(h, a.defined() ? std::optional(a) : std::nullopt, weight, eps, type);
    return {a.defined() ? results[0] : h, results.back()};
  }
  const auto sum = a.defined() ? h + a : h;
  return {sum, (sum * (sum.square().mean(-1, true) + eps).rsqrt() * weight).to(type)};
}

}  // namespace interplay::lm
