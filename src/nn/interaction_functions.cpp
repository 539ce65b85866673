#include <interplay/nn/interaction_functions.h>

#include <algorithm>
#include <cmath>
#include <functional>

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/nn/init.h>

#include <interplay/base/error.h>
#include <interplay/nn/plain_scope.h>
#include <interplay/nn/row_linear.h>

namespace interplay::nn {
namespace {

constexpr double kKernelSpread = 0.001;  // AIM's code

constexpr int64_t kBlockFloats = 1 << 16;  // of [rows, P, K] at a time: stays in the cache

/// sum over k of kernel_pk h_pk, and its gradients, in blocks of rows: [B, P, K] is never made. What a block holds
/// follows from the shape alone, so that sums over rows do not depend on the number of threads.
struct VectorKernelNode : torch::autograd::Function<VectorKernelNode> {
  using AutogradContext = torch::autograd::AutogradContext;
  using variable_list = torch::autograd::variable_list;

  static void in_blocks(int64_t rows, const at::Tensor& kernel, const std::function<void(int64_t, int64_t)>& call) {
    const int64_t step = std::max<int64_t>(1, kBlockFloats / std::max<int64_t>(1, kernel.numel()));
    at::parallel_for(0, (rows + step - 1) / step, 1, [&](int64_t begin, int64_t end) {
      const at::NoGradGuard no_grad;
      for (int64_t i = begin; i < end; ++i) call(i, i * step);
    });
  }
  static at::Tensor block(const at::Tensor& t, int64_t first, const at::Tensor& kernel) {
    const int64_t step = std::max<int64_t>(1, kBlockFloats / std::max<int64_t>(1, kernel.numel()));
    return t.narrow(0, first, std::min(step, t.size(0) - first));
  }

  static at::Tensor forward(AutogradContext* context, const at::Tensor& e, const at::Tensor& kernel,
                            const at::Tensor& sets) {
    context->save_for_backward({e, kernel, sets});
    const auto from = e.detach(), k = kernel.detach();
    auto z = at::empty({e.size(0), sets.size(0)}, e.options());
    in_blocks(e.size(0), k, [&](int64_t, int64_t first) {
      auto to = block(z, first, k);
      at::sum_out(to, elementwise_products(block(from, first, k), sets).mul_(k), 2);
    });
    return z;
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const auto saved = context->get_saved_variables();
    const auto e = saved[0].detach(), kernel = saved[1].detach(), sets = saved[2], dz = gradients[0].detach();
    auto de = at::zeros(e.sizes(), e.options());
    std::vector<at::Tensor> parts(size_t(e.size(0)));  // of the kernel's gradient, by block
    in_blocks(e.size(0), kernel, [&](int64_t i, int64_t first) {
      const auto own = block(e, first, kernel), g = block(dz, first, kernel).unsqueeze(2);
      auto to = block(de, first, kernel);
      std::vector<at::Tensor> factors;
      for (int64_t m = 0; m < sets.size(1); ++m) factors.push_back(own.index_select(1, sets.select(1, m)));
      const auto weighted = g * kernel;  // [rows, P, K]
      at::Tensor all;
      for (size_t m = 0; m < factors.size(); ++m) {
        auto part = weighted;
        for (size_t n = 0; n < factors.size(); ++n) {
          if (n != m) part = part * factors[n];
        }
        to.index_add_(1, sets.select(1, int64_t(m)), part);
        all = all.defined() ? all * factors[m] : factors[m];
      }
      parts[size_t(i)] = (all * g).sum(0);
    });
    auto dkernel = at::zeros(kernel.sizes(), kernel.options());
    for (const auto& part : parts) {
      if (part.defined()) dkernel.add_(part);
    }
    return {de, dkernel, at::Tensor()};
  }
};

/// f32 [B, F, K], i64 [P, o], f32 [P, K] -> f32 [B, P]
at::Tensor weighted_products(const at::Tensor& e, const at::Tensor& sets, const at::Tensor& kernel) {
  return e.device().is_cpu() && !PlainScope::active() ? VectorKernelNode::apply(e, kernel, sets)
                                                      : (elementwise_products(e, sets) * kernel).sum(2);
}

}  // namespace

std::vector<std::string> interaction_functions() { return {"inner", "vector_kernel", "number_kernel", "outer"}; }

InteractionFunctionImpl::InteractionFunctionImpl(std::string function, at::Tensor sets, int64_t width,
                                                 const KernelOptions& options)
    : function_(std::move(function)),
      sets_(std::move(sets)),
      unit_(options.unit),
      scale_(unit_ && function_ != "outer" ? 1 / std::sqrt(double(width)) : 1) {
  const auto known = interaction_functions();
  INTERPLAY_CHECK(std::find(known.begin(), known.end(), function_) != known.end(),
                  "there is no interaction function '{}' (functions: {})", function_, fmt::join(known, ", "));
  if (function_ == "inner") return;
  if (function_ == "outer") {
    kernel = at::empty({sets_.size(1), width});
    for (int64_t m = 0; m < kernel.size(0); ++m) torch::nn::init::xavier_uniform_(kernel.narrow(0, m, 1));
  } else {
    const auto shape = function_ == "vector_kernel" ? std::vector{sets_.size(0), width} : std::vector{sets_.size(0)};
    kernel = at::empty(shape).normal_(options.start, kKernelSpread);
  }
  register_parameter("kernel", kernel);
}

at::Tensor InteractionFunctionImpl::read_kernel() const {
  if (!unit_) return kernel;
  if (function_ == "number_kernel") return kernel.sign();
  const auto square = kernel.square();
  return kernel / (function_ == "outer" ? square.sum(1, true) : square.mean(1, true)).clamp_min(1e-12).sqrt();
}

at::Tensor InteractionFunctionImpl::outer(const FieldVectors& fields) const {
  const auto k = read_kernel();
  const auto& e = fields.tensor();
  at::Tensor product;
  for (int64_t m = 0; m < sets_.size(1); ++m) {
    const auto projected = at::GradMode::is_enabled() || PlainScope::active()
                               ? at::matmul(e, k[m])
                               : row_dot(e.flatten(0, 1), k[m]).view({e.size(0), e.size(1)});  // [B, F]
    const auto projection = projected.index_select(1, sets_.select(1, m));                     // [B, P]
    product = product.defined() ? product * projection : projection;
  }
  return product;
}

at::Tensor InteractionFunctionImpl::forward(const FieldVectors& fields) {
  if (function_ == "inner") return scaled(set_products(fields, sets_));
  if (function_ == "number_kernel") return scaled(set_products(fields, sets_) * read_kernel());
  if (function_ == "vector_kernel") return scaled(weighted_products(fields.tensor(), sets_, read_kernel()));
  return outer(fields);
}

at::Tensor InteractionFunctionImpl::parts(const FieldVectors& fields) {
  if (function_ == "outer") return outer(fields).unsqueeze(2);
  const auto h = scaled(elementwise_products(fields.tensor(), sets_));  // [B, P, K]
  if (function_ == "inner") return h;
  return h * (function_ == "number_kernel" ? read_kernel().unsqueeze(1) : read_kernel());
}

}  // namespace interplay::nn
