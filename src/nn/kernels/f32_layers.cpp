#include "nn/kernels/f32_layers.h"

#include <interplay/nn/dense_rows.h>
#include <interplay/nn/plain_scope.h>

namespace interplay::nn {
namespace {

struct LinearRelu : torch::autograd::Function<LinearRelu> {
  using AutogradContext = torch::autograd::AutogradContext;
  using variable_list = torch::autograd::variable_list;

  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& weight,
                            const at::Tensor& bias) {
    auto y = at::addmm(bias, x, weight.t()).relu_();
    context->save_for_backward({x, weight, y});
    return y;
  }
  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const auto saved = context->get_saved_variables();
    const at::Tensor &x = saved[0], &weight = saved[1], &y = saved[2];
    auto g = gradients[0].contiguous();
    if (is_read_elsewhere(g, gradients[0])) g = g.clone();
    const int64_t width = g.size(1);
    const Blocks blocks(g.size(0));
    auto sums = at::zeros({std::max<int64_t>(1, blocks.count), width}, g.options());  // by block: one order of addition
    float *const to = g.mutable_data_ptr<float>(), *const sum = sums.mutable_data_ptr<float>();
    const float* const out = y.const_data_ptr<float>();
    run_tasks(blocks.count, [&](int64_t b) {
      const int64_t at = blocks.first(b) * width;
      mask_rows(to + at, out + at, blocks.size(b), width, sum + b * width);
    });
    at::Tensor dx;
    if (context->needs_input_grad(0)) dx = at::mm(g, weight);
    return {dx, at::mm(g.t(), x), sums.sum(0)};
  }
};

}  // namespace

at::Tensor f32_linear_relu(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
  if (at::GradMode::is_enabled()) return LinearRelu::apply(x, weight, bias);
  return at::addmm(bias, whole_blocks(x), weight.t()).relu_().narrow(0, 0, x.size(0));
}

at::Tensor whole_blocks(const at::Tensor& x) {
  constexpr int64_t kBlock = 16;
  const int64_t more = (kBlock - x.size(0) % kBlock) % kBlock;
  return more == 0 ? x : at::constant_pad_nd(x, {0, 0, 0, more});
}

at::Tensor f32_dot(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
  return dot<float>(x.contiguous(), weight, bias);
}

bool is_fused_f32(const at::Tensor& x) {
  return !PlainScope::active() && x.device().is_cpu() && x.scalar_type() == at::kFloat && x.dim() == 2;
}

}  // namespace interplay::nn
