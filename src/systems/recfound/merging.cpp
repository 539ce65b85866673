#include "systems/recfound/merging.h"

#include <cmath>

#include <ATen/ATen.h>

#include <interplay/base/error.h>

namespace interplay::recfound {

at::Tensor ties(const at::Tensor& base, std::span<const at::Tensor> tensors, double density) {
  INTERPLAY_ASSERT(!tensors.empty());
  const auto from = base.to(at::kDouble);
  std::vector<at::Tensor> changes;
  auto sum = at::zeros_like(from);
  for (const auto& t : tensors) {
    changes.push_back(t.to(at::kDouble) - from);
    sum += changes.back();
  }
  const auto elected = sum.sign();
  const auto kept = int64_t(density * double(base.numel()));
  auto agreed = at::zeros_like(from), merged = at::zeros_like(from);
  for (const auto& change : changes) {
    const auto same = change.sign().eq(elected).logical_and(change.ne(0));
    agreed += same;
    const auto left = at::where(same, change, at::zeros({}, change.options())).flatten();
    const auto order = std::get<1>(left.abs().sort(/*stable=*/true, 0, /*descending=*/true)).narrow(0, 0, kept);
    merged += at::zeros_like(left).index_copy(0, order, left.index_select(0, order)).view(from.sizes());
  }
  return (from + merged / (agreed + 1e-9)).to(base.scalar_type());
}

double agreement(const at::Tensor& base, std::span<const at::Tensor> tensors) {
  auto signs = at::zeros(base.sizes(), at::kDouble);
  for (const auto& t : tensors) signs += (t - base).sign().to(at::kDouble);
  return signs.abs().eq(double(tensors.size())).to(at::kDouble).mean().item<double>();
}

at::Tensor linear_mean(std::span<const at::Tensor> tensors) {
  auto sum = at::zeros(tensors[0].sizes(), at::kDouble);
  for (const auto& t : tensors) sum += t;
  return (sum / double(tensors.size())).to(tensors[0].scalar_type());
}

at::Tensor slerp(const at::Tensor& a, const at::Tensor& b, double t) {
  const auto x = a.to(at::kDouble).flatten(), y = b.to(at::kDouble).flatten();
  const double lengths = x.norm().item<double>() * y.norm().item<double>();
  const double cosine = lengths > 0 ? x.dot(y).item<double>() / lengths : 1;
  double of_a = 1 - t, of_b = t;
  if (std::abs(cosine) <= 0.9995) {
    const double angle = std::acos(cosine);
    of_a = std::sin((1 - t) * angle) / std::sin(angle);
    of_b = std::sin(t * angle) / std::sin(angle);
  }
  return (x * of_a + y * of_b).view(a.sizes()).to(a.scalar_type());
}

}  // namespace interplay::recfound
