#include "nn/kernels/bf16_layers.h"

#include <algorithm>

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <torch/csrc/autograd/custom_function.h>

#include <interplay/base/tasks.h>
#include <interplay/nn/bf16.h>
#include <interplay/nn/dense_rows.h>
#include <interplay/nn/precision.h>

#include "nn/kernels/amx.h"

namespace interplay::nn {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

static_assert(Blocks::kRows == amx::WeightGradient::kBlockRows);

const uint16_t* bits(const at::Tensor& t) {
  return reinterpret_cast<const uint16_t*>(t.const_data_ptr<at::BFloat16>());
}
uint16_t* mutable_bits(const at::Tensor& t) { return reinterpret_cast<uint16_t*>(t.mutable_data_ptr<at::BFloat16>()); }

/// oneDNN's products of bf16 want AVX-512, though not its instructions for bf16.
bool onednn_multiplies_bf16() {
  static const bool does =
      __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
  return does;
}

/// x W^T + b with bias and relu added as oneDNN writes the product; elsewhere the same factors in f32.
at::Tensor product(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias, bool relu) {
  if (!onednn_multiplies_bf16()) {
    const at::AutoDispatchBelowAutograd below;
    const auto y = at::linear(x.to(at::kFloat), weight.to(at::kFloat), bias);
    return (relu ? y.relu() : y).to(at::kBFloat16);
  }
  using Call = at::Tensor(const at::Tensor&, const at::Tensor&, const std::optional<at::Tensor>&, std::string_view,
                          c10::List<std::optional<at::Scalar>>, std::optional<std::string_view>);
  static const auto call =
      c10::Dispatcher::singleton().findSchemaOrThrow("mkldnn::_linear_pointwise", "").typed<Call>();
  const at::AutoDispatchBelowAutograd below;
  return call.call(x, weight, bias, relu ? "relu" : "none", c10::List<std::optional<at::Scalar>>(), std::nullopt);
}

uint32_t version_of(const at::Tensor& x) { return x.is_inference() ? 0 : x._version(); }

at::Tensor contiguous_bf16(const at::Tensor& t) { return t.to(at::kBFloat16).contiguous(); }

/// Gradients of weight and bias from blocks of (g, x), visited as `prepare(block, bias sum)` has made them.
struct LinearGradients {
  at::Tensor weight, bias;  // f32 [out, in], f32 [out]
};

template <class Prepare>
LinearGradients sum_over_rows(const at::Tensor& g, const at::Tensor& x, const Prepare& prepare) {
  const int64_t n = g.size(0), out = g.size(1), in = x.size(1);
  const Blocks blocks(n);
  const auto f32 = at::TensorOptions().dtype(at::kFloat);
  auto bias_sums = at::zeros({std::max<int64_t>(1, blocks.count), out}, f32);  // by block: one order of addition
  float* const bias_sum = bias_sums.mutable_data_ptr<float>();
  LinearGradients result;
  if (n > 0 && amx::is_present()) {
    using amx::WeightGradient;
    const int64_t wide_out = WeightGradient::rounded(out), wide_in = WeightGradient::rounded(in);
    auto sums = at::empty({blocks.parts, wide_out, wide_in}, f32);
    auto scratch = at::empty({blocks.parts, WeightGradient::scratch_size(out, in)}, f32.dtype(at::kBFloat16));
    float* const sum = sums.mutable_data_ptr<float>();
    uint16_t* const panels = mutable_bits(scratch);
    const uint16_t *const g_bits = bits(g), *const x_bits = bits(x);
    run_tasks(blocks.parts, [&](int64_t part) {
      float* const own = sum + part * wide_out * wide_in;
      std::fill_n(own, wide_out * wide_in, 0.f);
      WeightGradient gradient(out, in, own, panels + part * WeightGradient::scratch_size(out, in));
      for (int64_t b = blocks.begin(part); b < blocks.begin(part + 1); ++b) {
        prepare(blocks.first(b), blocks.size(b), bias_sum + b * out);
        gradient.add(g_bits + blocks.first(b) * out, x_bits + blocks.first(b) * in, blocks.size(b));
      }
    });
    const auto all = blocks.parts == 1 ? sums[0] : blocks.parts == 2 ? sums[0] + sums[1] : sums.sum(0);
    result.weight = all.narrow(0, 0, out).narrow(1, 0, in).contiguous();
  } else {
    run_tasks(blocks.count, [&](int64_t b) { prepare(blocks.first(b), blocks.size(b), bias_sum + b * out); });
    result.weight = at::mm(g.t(), x).to(at::kFloat);
  }
  result.bias = bias_sums.sum(0);
  return result;
}

struct Linear : torch::autograd::Function<Linear> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& weight,
                            const at::Tensor& bias, const at::Tensor& copy, bool relu) {
    const auto from = to_bf16(x);
    auto y = product(from, copy, bias, relu);
    context->save_for_backward({from, copy, relu ? y : at::Tensor()});
    return y;
  }
  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const auto saved = context->get_saved_variables();
    const at::Tensor &x = saved[0], &copy = saved[1], &y = saved[2];
    auto g = contiguous_bf16(gradients[0]);
    if (y.defined() && is_read_elsewhere(g, gradients[0])) g = g.clone();
    uint16_t* const to = mutable_bits(g);
    const uint16_t* const out = y.defined() ? bits(y) : nullptr;
    const int64_t width = g.size(1);
    const auto sums = sum_over_rows(g, x, [&](int64_t first, int64_t rows, float* bias) {
      mask_rows(to + first * width, out ? out + first * width : nullptr, rows, width, bias);
    });
    at::Tensor dx;
    if (context->needs_input_grad(0)) dx = at::mm(g, copy);
    return {dx, sums.weight, sums.bias, at::Tensor(), at::Tensor()};
  }
};

/// next = x0 u + x. All bf16, or `wide` f32 in place of next.
INTERPLAY_CLONES void cross_stretch(const uint16_t* x0, const uint16_t* u, const uint16_t* x, int64_t n, uint16_t* next,
                                    float* wide) {
  int64_t k = 0;
  for (; k + simd::kLanes <= n; k += simd::kLanes) {
    const auto sum = simd::load(x0 + k) * simd::load(u + k) + simd::load(x + k);
    wide ? simd::store(wide + k, sum) : simd::store(next + k, sum);
  }
  for (; k < n; ++k) {
    const float sum = simd::widen(x0[k]) * simd::widen(u[k]) + simd::widen(x[k]);
    if (wide) {
      wide[k] = sum;
    } else {
      next[k] = simd::narrow(sum);
    }
  }
}

/// One layer's share of the backward pass, for one row block. d f32 is the gradient of the layer's result, to which
/// `through` (that of the later layer's product; nullptr: none) is added first; g = d x0; d0 (gradient of x0) gains d
/// u.
INTERPLAY_CLONES void cross_gradient_rows(float* d, const uint16_t* through, const uint16_t* x0, const uint16_t* u,
                                          int64_t rows, int64_t width, uint16_t* g, float* d0, bool fresh,
                                          float* bias) {
  for (int64_t r = 0; r < rows; ++r) {
    const int64_t at = r * width;
    int64_t k = 0;
    for (; k + simd::kLanes <= width; k += simd::kLanes) {
      auto all = simd::load(d + at + k);
      if (through) {
        all += simd::load(through + at + k);
        simd::store(d + at + k, all);
      }
      const auto own = all * simd::load(x0 + at + k), back = all * simd::load(u + at + k);
      simd::store(g + at + k, own);
      simd::store(d0 + at + k, fresh ? back : simd::load(d0 + at + k) + back);
      simd::store(bias + k, simd::load(bias + k) + own);
    }
    for (; k < width; ++k) {
      float all = d[at + k];
      if (through) d[at + k] = all += simd::widen(through[at + k]);
      const float own = all * simd::widen(x0[at + k]), back = all * simd::widen(u[at + k]);
      g[at + k] = simd::narrow(own);
      d0[at + k] = fresh ? back : d0[at + k] + back;
      bias[k] += own;
    }
  }
}

/// d0 += d + through
INTERPLAY_CLONES void add_stretch(float* d0, const float* d, const uint16_t* through, int64_t n) {
  int64_t k = 0;
  for (; k + simd::kLanes <= n; k += simd::kLanes)
    simd::store(d0 + k, simd::load(d0 + k) + simd::load(d + k) + simd::load(through + k));
  for (; k < n; ++k) d0[k] += d[k] + simd::widen(through[k]);
}

struct Cross : torch::autograd::Function<Cross> {
  static at::Tensor run(const at::Tensor& from, const at::Tensor& copy, const at::Tensor& bias, variable_list* saved) {
    const int64_t layers = copy.size(0), n = from.size(0), width = from.size(1);
    const Blocks blocks(n);
    auto result = at::empty({n, width}, bias.options());
    float* const wide = result.mutable_data_ptr<float>();
    auto x = from;
    for (int64_t l = 0; l < layers; ++l) {
      const auto u = product(x, copy[l], bias[l], false);
      const bool last = l + 1 == layers;
      const auto next = last ? at::Tensor() : at::empty_like(from);
      uint16_t* const to = last ? nullptr : mutable_bits(next);
      const uint16_t *const x0_bits = bits(from), *const u_bits = bits(u), *const x_bits = bits(x);
      run_tasks(blocks.count, [&](int64_t b) {
        const int64_t at = blocks.first(b) * width;
        cross_stretch(x0_bits + at, u_bits + at, x_bits + at, blocks.size(b) * width, last ? nullptr : to + at,
                      last ? wide + at : nullptr);
      });
      if (saved) saved->push_back(u), saved->push_back(x);
      x = next;
    }
    return result;
  }
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x0, const at::Tensor&, const at::Tensor& bias,
                            const at::Tensor& copy) {
    const auto from = to_bf16(x0);
    variable_list saved{from, copy};
    auto result = run(from, copy, bias, &saved);
    context->save_for_backward(saved);
    return result;
  }
  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const auto saved = context->get_saved_variables();
    const at::Tensor &x0 = saved[0], &copy = saved[1];
    const int64_t layers = copy.size(0), width = x0.size(1);
    auto d = gradients[0].contiguous();  // f32 [N, W]; written on below
    if (d.is_same(gradients[0])) d = d.clone();
    auto d0 = at::empty_like(d);
    auto g = at::empty_like(x0);
    std::vector<at::Tensor> weight, bias;
    weight.resize(size_t(layers)), bias.resize(size_t(layers));
    at::Tensor through;
    float *const d_data = d.mutable_data_ptr<float>(), *const d0_data = d0.mutable_data_ptr<float>();
    for (int64_t l = layers - 1; l >= 0; --l) {
      const at::Tensor &u = saved[size_t(2 + 2 * l)], &x = saved[size_t(3 + 2 * l)];
      const auto sums = sum_over_rows(g, x, [&](int64_t first, int64_t rows, float* sum) {
        const int64_t at = first * width;
        cross_gradient_rows(d_data + at, through.defined() ? bits(through) + at : nullptr, bits(x0) + at, bits(u) + at,
                            rows, width, mutable_bits(g) + at, d0_data + at, !through.defined(), sum);
      });
      weight[size_t(l)] = sums.weight, bias[size_t(l)] = sums.bias;
      through = at::mm(g, copy[l]);
    }
    const Blocks blocks(x0.size(0));
    run_tasks(blocks.count, [&](int64_t b) {
      const int64_t at = blocks.first(b) * width;
      add_stretch(d0_data + at, d_data + at, bits(through) + at, blocks.size(b) * width);
    });
    return {d0, at::stack(weight), at::stack(bias), at::Tensor()};
  }
};

}  // namespace

at::Tensor Bf16Weight::of(const at::Tensor& weight) {
  const std::lock_guard lock(mutex_);
  const uint32_t version = version_of(weight);
  if (!copy_.defined() || data_ != weight.const_data_ptr() || version_ != version) {
    copy_ = weight.detach().to(at::kBFloat16);
    data_ = weight.const_data_ptr();
    version_ = version;
  }
  return copy_;
}

bool in_bf16(const at::Tensor& x) { return precision() == Precision::bf16 && x.device().is_cpu(); }

namespace {

/// bf16 copies of f32 tensors of this thread, which do not keep them alive.
struct Twin {
  c10::weak_intrusive_ptr<c10::StorageImpl> storage;
  const void* data;
  int64_t size;
  uint32_t version;
  at::Tensor half;
  bool offered;
};
thread_local std::vector<Twin> twins;

void remember(const at::Tensor& x, const at::Tensor& half, bool offered) {
  std::erase_if(twins, [](const Twin& t) { return t.storage.expired(); });
  twins.push_back({c10::weak_intrusive_ptr<c10::StorageImpl>(x.storage().getWeakStorageImpl()), x.const_data_ptr(),
                   x.numel(), version_of(x), half, offered});
}

/// A view of x's whole, or of all of it but its shape, is x.
const Twin* find_twin(const at::Tensor& x) {
  for (const auto& t : twins) {
    if (t.data == x.const_data_ptr() && t.size == x.numel() && t.version == version_of(x) && x.is_contiguous() &&
        !t.storage.expired())
      return &t;
  }
  return nullptr;
}

}  // namespace

void offer_bf16(const at::Tensor& x, const at::Tensor& half) { remember(x, half, true); }
void forget_bf16() { twins.clear(); }

at::Tensor offered_bf16(const at::Tensor& x) {
  const Twin* const twin = x.scalar_type() == at::kFloat ? find_twin(x) : nullptr;
  return twin && twin->offered ? twin->half.view(x.sizes()) : x;
}

at::Tensor to_bf16(const at::Tensor& x) {
  if (x.scalar_type() == at::kBFloat16) return x.contiguous();
  if (const Twin* const twin = find_twin(x)) return twin->half.detach().view(x.sizes());
  auto half = contiguous_bf16(x.detach());
  remember(x, half, false);
  return half;
}

at::Tensor bf16_linear(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias, bool relu,
                       Bf16Weight& copy) {
  if (!at::GradMode::is_enabled()) return product(to_bf16(x), copy.of(weight), bias, relu);
  return Linear::apply(offered_bf16(x), weight, bias, copy.of(weight), relu);
}

at::Tensor bf16_dot(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
  return dot<uint16_t>(x, weight, bias);
}

at::Tensor bf16_cross(const at::Tensor& x0, const at::Tensor& weight, const at::Tensor& bias, Bf16Weight& copy) {
  if (!at::GradMode::is_enabled()) return Cross::run(to_bf16(x0), copy.of(weight), bias, nullptr);
  return Cross::apply(offered_bf16(x0), weight, bias, copy.of(weight));
}

}  // namespace interplay::nn
