#include <interplay/nn/interactions.h>

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include <interplay/base/error.h>
#include <interplay/nn/plain_scope.h>
#include <interplay/nn/row_linear.h>

#include "nn/kernels/product_tiles.h"
#include "nn/kernels/watched_call.h"

namespace interplay::nn {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr int64_t kLeastOrder = 2, kMostOrder = 4;

void check_sets(const at::Tensor& sets, int64_t fields) {
  INTERPLAY_CHECK(
      sets.dim() == 2 && sets.scalar_type() == at::kLong && sets.size(1) >= kLeastOrder && sets.size(1) <= kMostOrder,
      "products of fields: expected sets as i64 [P, {} .. {}], found {} {}", kLeastOrder, kMostOrder,
      c10::toString(sets.scalar_type()), sets.sizes());
  if (sets.numel() == 0) return;
  const auto low = sets.min().item<int64_t>(), high = sets.max().item<int64_t>();
  INTERPLAY_CHECK(low >= 0 && high < fields, "products of fields: field {} of a set is not one of 0 .. {}",
                  low < 0 ? low : high, fields - 1);
}

// The plain twins.

at::Tensor elementwise(const at::Tensor& e, const at::Tensor& sets) {
  auto product = e.index_select(1, sets.select(1, 0));  // [B, P, K]
  for (int64_t m = 1; m < sets.size(1); ++m) product = product * e.index_select(1, sets.select(1, m));
  return product;
}

at::Tensor plain_products(const at::Tensor& e, const at::Tensor& sets) {
  return PlainScope::active() ? watched_call("interplay::set_products", e, sets) : elementwise(e, sets).sum(2);
}

at::Tensor plain_norm(const at::Tensor& z, const ProductNorm& norm) {
  if (!norm.mean.defined()) return z;
  return at::batch_norm(z, {}, {}, norm.mean, norm.variance, norm.from_batch, norm.momentum, norm.eps,
                        /*cudnn_enabled=*/false);
}

// The kernels' nodes.

bool is_fused(const at::Tensor& e) {
  return e.device().is_cpu() && e.scalar_type() == at::kFloat && !PlainScope::active();
}

ProductInput input_of(const at::Tensor& e) {  // contiguous
  return {e.const_data_ptr<float>(), e.size(0), e.size(1), e.size(2)};
}

const float* read(const at::Tensor& t) { return t.const_data_ptr<float>(); }
float* write(const at::Tensor& t) { return t.mutable_data_ptr<float>(); }

struct ProductsNode : torch::autograd::Function<ProductsNode> {
  static at::Tensor run(const at::Tensor& e, const at::Tensor& sets) {
    auto z = at::empty({e.size(0), sets.size(0)}, e.options());
    products(input_of(e), SetList(sets), nullptr, write(z));
    return z;
  }
  static at::Tensor forward(AutogradContext* context, const at::Tensor& e, const at::Tensor& sets) {
    context->save_for_backward({e, sets});
    return run(e, sets);
  }
  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const auto saved = context->get_saved_variables();
    const at::Tensor &e = saved[0], &sets = saved[1];
    auto d_e = at::empty_like(e);
    product_gradients(input_of(e), SetList(sets), read(gradients[0].contiguous()), write(d_e));
    return {d_e, at::Tensor()};
  }
};

/// Mean and 1 / sqrt(variance + eps) of each product: [P] each; and the products, where they were computed for these.
struct Normal {
  at::Tensor mean, inverse_deviation;
  KeptProducts products = {};
};

/// Batch statistics move the running ones, as torch's BatchNorm1d: the variance that these follow is unbiased.
Normal normal_of(const at::Tensor& e, const at::Tensor& sets, const ProductNorm& norm) {
  const auto options = e.options().requires_grad(false);
  if (!norm.mean.defined()) return {at::zeros({sets.size(0)}, options), at::ones({sets.size(0)}, options)};
  if (!norm.from_batch) return {norm.mean.clone(), (norm.variance + norm.eps).rsqrt()};
  auto mean = at::empty({sets.size(0)}, options), variance = at::empty({sets.size(0)}, options);
  const SetList list(sets);
  const auto products = KeptProducts::of(input_of(e), list);
  product_statistics(input_of(e), list, write(mean), write(variance), products);
  const auto batch = double(e.size(0));
  at::Tensor running_mean = norm.mean, running_variance = norm.variance;
  running_mean.lerp_(mean, norm.momentum);
  running_variance.lerp_(variance * (batch / (batch - 1)), norm.momentum);
  return {mean, (variance + norm.eps).rsqrt(), products};
}

/// gate_p n_bp, n = (z - mean) / deviation: [B, P], or their sum [B] over those whose gate is not 0.
at::Tensor run_gated(const at::Tensor& e, const at::Tensor& sets, const at::Tensor& gates, const Normal& normal,
                     bool summed) {
  const auto scale = gates.detach() * normal.inverse_deviation;
  if (!summed) {
    auto out = at::empty({e.size(0), sets.size(0)}, e.options());
    const Scaling scaling{read(scale), read(normal.mean)};
    products(input_of(e), SetList(sets), &scaling, write(out), normal.products);
    return out;
  }
  auto out = at::empty({e.size(0)}, e.options());
  if (!normal.products.empty()) {
    product_sums(input_of(e), SetList(sets), {read(scale), read(normal.mean)}, write(out), normal.products);
    return out;
  }
  const auto open = scale.nonzero().squeeze(1);
  const auto open_scale = scale.index_select(0, open), open_mean = normal.mean.index_select(0, open);
  product_sums(input_of(e), SetList(sets.index_select(0, open)), {read(open_scale), read(open_mean)}, write(out));
  return out;
}

/// With d what flows back to gate_p n_bp: d_gate_p = sum_b d n_bp, and
///     d_z_bp = gate_p / deviation_p (d - mean_b(d) - n_bp d_gate_p / B)    where mean and deviation are the batch's
///     d_z_bp = gate_p / deviation_p d                                      where they are constants
struct GatedNode : torch::autograd::Function<GatedNode> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& e, const at::Tensor& gates,
                            const at::Tensor& sets, const ProductNorm& norm, bool summed) {
    const Normal normal = normal_of(e, sets, norm);
    context->save_for_backward({e, gates, sets, normal.mean, normal.inverse_deviation, normal.products.z});
    context->saved_data["from_batch"] = norm.mean.defined() && norm.from_batch;
    context->saved_data["summed"] = summed;
    return run_gated(e, sets, gates, normal, summed);
  }
  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const auto saved = context->get_saved_variables();
    const at::Tensor &e = saved[0], &gates = saved[1], &sets = saved[2], &mean = saved[3], &inverse = saved[4];
    const KeptProducts products{saved[5]};
    const bool from_batch = context->saved_data["from_batch"].toBool();
    const bool by_set = !context->saved_data["summed"].toBool();
    auto d = gradients[0].contiguous();
    const ProductInput x = input_of(e);
    auto sums = at::empty_like(gates), d_gates = at::empty_like(gates);
    flow_statistics(x, SetList(sets), read(mean), {read(d), by_set}, write(sums), write(d_gates), products);
    d_gates.mul_(inverse);
    at::Tensor d_e;
    if (context->needs_input_grad(0)) {
      const auto open = gates.nonzero().squeeze(1);
      const auto of_open = [&](const at::Tensor& t) { return t.index_select(0, open); };
      const auto scale = of_open(gates * inverse), open_mean = of_open(mean);
      const auto centre = of_open(sums) / double(x.batch), slope = of_open(inverse * d_gates) / double(x.batch);
      if (by_set && open.size(0) < sets.size(0)) d = d.index_select(1, open);
      d_e = at::empty_like(e);
      scaled_gradients(x, SetList(of_open(sets)), {read(scale), read(open_mean)}, read(centre),
                       from_batch ? read(slope) : nullptr, {read(d), by_set}, write(d_e), products,
                       open.const_data_ptr<int64_t>());
    }
    return {d_e, d_gates, at::Tensor(), at::Tensor(), at::Tensor()};
  }
};

at::Tensor gated(const FieldVectors& fields, const at::Tensor& sets, const at::Tensor& gates, const ProductNorm& norm,
                 bool summed) {
  check_sets(sets, fields.fields());
  const at::Tensor& e = fields.tensor();
  if (!is_fused(e)) {
    const auto z = plain_norm(plain_products(e, sets.to(e.device())), norm);
    return summed ? row_dot(z, gates) : z * gates;
  }
  const auto whole = e.contiguous();
  if (at::GradMode::is_enabled()) return GatedNode::apply(whole, gates.contiguous(), sets, norm, summed);
  return run_gated(whole, sets, gates, normal_of(whole, sets, norm), summed);
}

}  // namespace

at::Tensor all_sets(int64_t fields, int64_t order) {
  INTERPLAY_CHECK(order >= kLeastOrder && order <= kMostOrder, "products of {} fields: expected {} to {}", order,
                  kLeastOrder, kMostOrder);
  if (fields < order) return at::empty({0, order}, at::kLong);
  return at::combinations(at::arange(fields, at::kLong), order);
}

at::Tensor elementwise_products(const at::Tensor& e, const at::Tensor& sets) {
  return PlainScope::active() ? watched_call("interplay::elementwise_products", e, sets) : elementwise(e, sets);
}

at::Tensor set_products(const FieldVectors& fields, const at::Tensor& sets) {
  check_sets(sets, fields.fields());
  const at::Tensor& e = fields.tensor();
  if (!is_fused(e)) return plain_products(e, sets.to(e.device()));
  return at::GradMode::is_enabled() ? ProductsNode::apply(e.contiguous(), sets)
                                    : ProductsNode::run(e.contiguous(), sets);
}

at::Tensor gated_products(const FieldVectors& fields, const at::Tensor& sets, const at::Tensor& gates,
                          const ProductNorm& norm) {
  return gated(fields, sets, gates, norm, false);
}

at::Tensor gated_sum(const FieldVectors& fields, const at::Tensor& sets, const at::Tensor& gates,
                     const ProductNorm& norm) {
  return gated(fields, sets, gates, norm, true);
}

RunningStatistics::~RunningStatistics() = default;

CentreImpl::CentreImpl(int64_t fields, int64_t width, double momentum)
    : momentum_(momentum), running_mean_(register_buffer("running_mean", at::zeros({fields, width}))) {}

FieldVectors CentreImpl::forward(const FieldVectors& fields) {
  const at::Tensor& e = fields.tensor();
  if (!is_training() || e.size(0) < 2) return FieldVectors(e - running_mean_);
  const auto mean = e.mean(0);
  running_mean_.lerp_(mean.detach(), momentum_);
  return FieldVectors(e - mean);
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

at::Tensor GatesImpl::spread() const {
  const at::NoGradGuard no_grad;
  if (!running_var.defined()) return at::ones_like(gate);
  return (running_var / (running_var + options_.norm_eps)).sqrt();
}

ProductNorm GatesImpl::norm_of(int64_t rows) const {
  return {running_mean, running_var, is_training() && rows > 1, options_.norm_eps, options_.norm_momentum};
}

at::Tensor GatesImpl::forward(const at::Tensor& z) { return plain_norm(z, norm_of(z.size(0))) * gate; }

at::Tensor GatesImpl::sum(const at::Tensor& z) { return row_dot(plain_norm(z, norm_of(z.size(0))), gate); }

at::Tensor GatesImpl::sum(const FieldVectors& fields, const at::Tensor& sets) {
  return gated_sum(fields, sets, gate, norm_of(fields.batch()));
}

GatedProductsImpl::GatedProductsImpl(at::Tensor sets, const GateOptions& options)
    : GatesImpl(sets.size(0), options), sets_(std::move(sets)) {}

at::Tensor GatedProductsImpl::forward(const FieldVectors& fields) {
  return gated_products(fields, sets_, gate, norm_of(fields.batch()));
}

at::Tensor GatedProductsImpl::sum(const FieldVectors& fields) { return GatesImpl::sum(fields, sets_); }

TORCH_LIBRARY_FRAGMENT(interplay, m) {
  m.def("elementwise_products(Tensor vectors, Tensor sets) -> Tensor", &elementwise);
  m.def("set_products(Tensor vectors, Tensor sets) -> Tensor",
        [](const at::Tensor& e, const at::Tensor& sets) { return elementwise(e, sets).sum(2); });
}

}  // namespace interplay::nn
