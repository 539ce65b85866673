#include <interplay/nn/fm.h>

#include <ATen/ATen.h>

namespace interplay::nn {

at::Tensor bi_interaction(const FieldVectors& fields) {
  const at::Tensor& e = fields.tensor();      // [B, F, K]
  const auto sum = e.sum(1);                  // [B, K]
  return 0.5 * (sum * sum - (e * e).sum(1));  // [B, K]
}

at::Tensor fm(const FieldVectors& fields) { return bi_interaction(fields).sum(1); }

at::Tensor inner_products(const FieldVectors& fields, const at::Tensor& left, const at::Tensor& right) {
  const at::Tensor& e = fields.tensor();
  return (e.index_select(1, left) * e.index_select(1, right)).sum(2);  // [B, P]
}

std::pair<at::Tensor, at::Tensor> all_pairs(int64_t fields) {
  const auto pairs = at::triu_indices(fields, fields, 1, at::kLong);  // [2, P], row-major: lexicographic
  return {pairs[0], pairs[1]};
}

}  // namespace interplay::nn
