#include <interplay/nn/interaction_functions.h>

#include <algorithm>

#include <ATen/ATen.h>
#include <torch/nn/init.h>

#include <interplay/base/error.h>

namespace interplay::nn {
namespace {

constexpr double kKernelSpread = 0.001;  // AIM's code

/// Element by element: f32 [B, F, K], i64 [P, o] -> [B, P, K]
at::Tensor elementwise(const at::Tensor& e, const at::Tensor& sets) {
  auto product = e.index_select(1, sets.select(1, 0));
  for (int64_t m = 1; m < sets.size(1); ++m) product = product * e.index_select(1, sets.select(1, m));
  return product;
}

}  // namespace

std::vector<std::string> interaction_functions() { return {"inner", "vector_kernel", "number_kernel", "outer"}; }

InteractionFunctionImpl::InteractionFunctionImpl(std::string function, at::Tensor sets, int64_t width,
                                                 double kernel_start)
    : function_(std::move(function)), sets_(std::move(sets)) {
  const auto known = interaction_functions();
  INTERPLAY_CHECK(std::find(known.begin(), known.end(), function_) != known.end(),
                  "there is no interaction function '{}' (functions: {})", function_, fmt::join(known, ", "));
  if (function_ == "inner") return;
  if (function_ == "outer") {
    kernel = at::empty({sets_.size(1), width});
    for (int64_t m = 0; m < kernel.size(0); ++m) torch::nn::init::xavier_uniform_(kernel.narrow(0, m, 1));
  } else {
    const auto shape = function_ == "vector_kernel" ? std::vector{sets_.size(0), width} : std::vector{sets_.size(0)};
    kernel = at::empty(shape).normal_(kernel_start, kKernelSpread);
  }
  register_parameter("kernel", kernel);
}

at::Tensor InteractionFunctionImpl::projections(const FieldVectors& fields, int64_t m) const {
  return at::matmul(fields.tensor(), kernel[m]).index_select(1, sets_.select(1, m));  // [B, F] -> [B, P]
}

at::Tensor InteractionFunctionImpl::forward(const FieldVectors& fields) {
  if (function_ == "inner") return set_products(fields, sets_);
  if (function_ == "number_kernel") return set_products(fields, sets_) * kernel;
  if (function_ == "vector_kernel") return (elementwise(fields.tensor(), sets_) * kernel).sum(2);
  auto product = projections(fields, 0);
  for (int64_t m = 1; m < sets_.size(1); ++m) product = product * projections(fields, m);
  return product;
}

at::Tensor InteractionFunctionImpl::parts(const FieldVectors& fields) {
  if (function_ == "outer") return forward(fields).unsqueeze(2);
  const auto h = elementwise(fields.tensor(), sets_);  // [B, P, K]
  if (function_ == "inner") return h;
  return h * (function_ == "number_kernel" ? kernel.unsqueeze(1) : kernel);
}

GatesImpl::GatesImpl(int64_t count, const GateOptions& options, std::string group)
    : options_(options), group_(std::move(group)) {
  gate = register_parameter(
      "gate", at::empty({count}).uniform_(options.start - options.spread, options.start + options.spread));
  if (options.norm) {
    running_mean = register_buffer("running_mean", at::zeros({count}));
    running_var = register_buffer("running_var", at::ones({count}));
  }
}

at::Tensor GatesImpl::normalised(const at::Tensor& z) const {
  if (!options_.norm) return z;
  return at::batch_norm(z, {}, {}, running_mean, running_var, from_batch(z.size(0)), options_.norm_momentum,
                        options_.norm_eps, /*cudnn_enabled=*/false);
}

at::Tensor GatesImpl::forward(const at::Tensor& z) { return normalised(z) * gate; }

at::Tensor GatesImpl::sum(const at::Tensor& z) { return at::mv(normalised(z), gate); }

at::Tensor GatesImpl::sum(const FieldVectors& fields, const at::Tensor& sets) {
  return gated_sum(fields, sets, gate,
                   {running_mean, running_var, from_batch(fields.batch()), options_.norm_eps, options_.norm_momentum});
}

}  // namespace interplay::nn
