#include <interplay/nn/interactions.h>

#include <ATen/ATen.h>

#include <interplay/base/error.h>

namespace interplay::nn {
namespace {

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

at::Tensor plain_products(const at::Tensor& e, const at::Tensor& sets) {
  auto product = e.index_select(1, sets.select(1, 0));  // [B, P, K]
  for (int64_t m = 1; m < sets.size(1); ++m) product = product * e.index_select(1, sets.select(1, m));
  return product.sum(2);
}

at::Tensor plain_norm(const at::Tensor& z, const ProductNorm& norm) {
  if (!norm.mean.defined()) return z;
  return at::batch_norm(z, {}, {}, norm.mean, norm.variance, norm.from_batch, norm.momentum, norm.eps,
                        /*cudnn_enabled=*/false);
}

}  // namespace

at::Tensor all_sets(int64_t fields, int64_t order) {
  INTERPLAY_CHECK(order >= kLeastOrder && order <= kMostOrder, "products of {} fields: expected {} to {}", order,
                  kLeastOrder, kMostOrder);
  if (fields < order) return at::empty({0, order}, at::kLong);
  return at::combinations(at::arange(fields, at::kLong), order);
}

at::Tensor set_products(const FieldVectors& fields, const at::Tensor& sets) {
  check_sets(sets, fields.fields());
  return plain_products(fields.tensor(), sets);
}

at::Tensor gated_products(const FieldVectors& fields, const at::Tensor& sets, const at::Tensor& gates,
                          const ProductNorm& norm) {
  return plain_norm(set_products(fields, sets), norm) * gates;
}

at::Tensor gated_sum(const FieldVectors& fields, const at::Tensor& sets, const at::Tensor& gates,
                     const ProductNorm& norm) {
  return at::mv(plain_norm(set_products(fields, sets), norm), gates);
}

GatedProductsImpl::GatedProductsImpl(at::Tensor sets, const GateOptions& options)
    : sets_(std::move(sets)), options_(options) {
  const int64_t count = sets_.size(0);
  gate = register_parameter(
      "gate", at::empty({count}).uniform_(options.start - options.spread, options.start + options.spread));
  if (options.norm) {
    running_mean = register_buffer("running_mean", at::zeros({count}));
    running_var = register_buffer("running_var", at::ones({count}));
  }
}

ProductNorm GatedProductsImpl::norm_of(const FieldVectors& fields) const {
  return {running_mean, running_var, is_training() && fields.batch() > 1, options_.norm_eps, options_.norm_momentum};
}

at::Tensor GatedProductsImpl::forward(const FieldVectors& fields) {
  return gated_products(fields, sets_, gate, norm_of(fields));
}

at::Tensor GatedProductsImpl::sum(const FieldVectors& fields) {
  return gated_sum(fields, sets_, gate, norm_of(fields));
}

}  // namespace interplay::nn
