#include "systems/qa4prf/lambdarank.h"

#include <cmath>

#include <ATen/ATen.h>

namespace interplay::qa4prf {

at::Tensor ranks_of(const at::Tensor& scores) {
  const auto order = std::get<1>(scores.detach().sort(/*stable=*/true, 0, /*descending=*/true));
  return at::empty_like(order).scatter_(0, order, at::arange(order.size(0), order.options()));
}

at::Tensor lambdarank_loss(const at::Tensor& scores, const at::Tensor& grades, int64_t depth) {
  const auto gains = grades.to(scores.dtype()).exp2();  // less 1, which no difference sees
  const auto discount = [&](const at::Tensor& ranks) {
    return at::where(ranks.lt(depth), (ranks + 2).to(scores.dtype()).log2().reciprocal(),
                     at::zeros({1}, scores.options()));
  };
  const auto best = std::get<0>(gains.sort(0, /*descending=*/true)) - 1;
  const auto ideal = (best * discount(at::arange(grades.size(0), grades.options()))).sum();
  if (ideal.item<double>() <= 0) return (scores * 0).sum();
  const auto of = discount(ranks_of(scores));
  const auto pairs = grades.unsqueeze(1).gt(grades.unsqueeze(0));  // [n, n]: i above j
  const auto weight =
      ((gains.unsqueeze(1) - gains.unsqueeze(0)) * (of.unsqueeze(1) - of.unsqueeze(0))).abs() / ideal * pairs;
  return (weight * at::softplus(scores.unsqueeze(0) - scores.unsqueeze(1))).sum();
}

}  // namespace interplay::qa4prf
