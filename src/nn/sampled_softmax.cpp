#include <interplay/nn/sampled_softmax.h>

#include <cmath>

#include <ATen/ATen.h>

#include <interplay/base/error.h>

namespace interplay::nn {

at::Tensor in_batch_softmax(const at::Tensor& query, const at::Tensor& item, const at::Tensor& id, double temperature,
                            const at::Tensor& log_probability) {
  const int64_t rows = query.size(0);
  INTERPLAY_CHECK(query.dim() == 2 && query.sizes() == item.sizes() && id.numel() == rows,
                  "in-batch softmax: queries [{}], items [{}], {} ids; expected [B, K] twice and B ids",
                  fmt::join(query.sizes(), ", "), fmt::join(item.sizes(), ", "), id.numel());
  auto score = at::matmul(query, item.t()) / temperature;  // [B, B]
  if (log_probability.defined()) score = score - log_probability.unsqueeze(0);
  const auto same = id.unsqueeze(1).eq(id.unsqueeze(0));
  const auto itself = at::eye(rows, same.options()).to(at::kBool);
  score = score.masked_fill(same.logical_and(itself.logical_not()), -INFINITY);
  return at::logsumexp(score, 1) - score.diagonal();
}

}  // namespace interplay::nn
