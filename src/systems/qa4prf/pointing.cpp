#include "systems/qa4prf/pointing.h"

#include <cmath>

#include <ATen/ATen.h>

namespace interplay::qa4prf {
namespace {

constexpr double kLeast = 1e-30;  // below what a softmax in f32 tells from 0

/// P over positions and, last, the stop token: [B, n + 1].
at::Tensor distribution(const PointerStep& step, const at::Tensor& open) {
  const auto positions = step.positions.masked_fill(open.logical_not(), -INFINITY);
  return at::cat({positions, step.stop.unsqueeze(1)}, 1).softmax(1);
}

/// P of each term [B, K].
at::Tensor mass_of_terms(const Pointable& in, const at::Tensor& p) {
  const auto sums = at::zeros({p.size(0), in.terms + 1}, p.options());
  return sums.scatter_add(1, in.slots, p.narrow(1, 0, in.slots.size(1))).narrow(1, 0, in.terms);
}

}  // namespace

at::Tensor pointer_logits(const at::Tensor& M, const at::Tensor& s, const at::Tensor& W1, const at::Tensor& W2,
                          const at::Tensor& v) {
  return (M.matmul(W1.t()) + s.matmul(W2.t()).unsqueeze(1)).tanh().matmul(v);
}

Pointed point_at_terms(const Pointable& in, const NextStep& next) {
  const int64_t B = in.slots.size(0), K = in.terms;
  const auto flags = in.slots.options().dtype(at::kBool);
  // One column more, for what is no candidate: it is closed from the beginning.
  auto closed = at::cat({at::zeros({B, K}, flags), at::ones({B, 1}, flags)}, 1);
  auto left = in.wanted.defined() ? in.wanted : at::Tensor();
  auto going = at::ones({B}, flags);
  Pointed out;
  out.terms = at::zeros({B, K}, in.M.options());
  auto steps = at::zeros({B}, in.M.options());
  if (left.defined()) out.loss = at::zeros({B}, in.M.options());
  at::Tensor pointed_at;
  for (int64_t t = 0; t < in.steps; ++t) {
    const auto p = distribution(next(pointed_at), closed.gather(1, in.slots).logical_not());
    const auto terms = mass_of_terms(in, p), stop = p.select(1, -1);
    pointed_at = p.narrow(1, 0, in.slots.size(1)).unsqueeze(1).bmm(in.M).squeeze(1);
    out.terms = out.terms + terms * going.unsqueeze(1);
    steps = steps + going;
    at::Tensor taken, stops;
    if (left.defined()) {
      stops = left.any(1).logical_not();
      const auto mass = at::where(stops, stop, (terms * left).sum(1));
      out.loss = out.loss - mass.clamp_min(kLeast).log() * going;
      taken = terms.masked_fill(left.logical_not(), -1).argmax(1);
    } else {
      const auto open = terms.masked_fill(closed.narrow(1, 0, K), -1);
      const auto [highest, place] = open.max(1);
      stops = stop >= highest;
      taken = place;
    }
    const auto takes =
        at::one_hot(taken, K + 1).to(at::kBool).logical_and((going.logical_and(stops.logical_not())).unsqueeze(1));
    closed = closed.logical_or(takes);
    if (left.defined()) left = left.logical_and(takes.narrow(1, 0, K).logical_not());
    going = going.logical_and(stops.logical_not());
    if (!going.any().item<bool>()) break;
  }
  out.terms = out.terms / steps.unsqueeze(1);
  out.taken = closed.narrow(1, 0, K);
  return out;
}

Pointed point_once(const Pointable& in, const at::Tensor& weights, const PointerStep& step) {
  const auto p = distribution(step, in.slots.ne(in.terms));
  Pointed out;
  out.terms = mass_of_terms(in, p);
  out.taken = out.terms.gt(p.select(1, -1).unsqueeze(1));
  if (!weights.defined()) return out;
  const auto sum = weights.sum(1, true);
  const auto share = at::cat(
      {at::where(sum.gt(0), weights / sum.clamp_min(kLeast), at::zeros_like(weights)), sum.le(0).to(weights.dtype())},
      1);  // [B, K + 1]
  const auto said = at::cat({out.terms, p.narrow(1, p.size(1) - 1, 1)}, 1).clamp_min(kLeast);
  out.loss = (share * (share.clamp_min(kLeast).log() - said.log())).sum(1);
  return out;
}

at::Tensor aggregate(const at::Tensor& scores, const at::Tensor& terms) {
  return scores.softmax(0).to(terms.dtype()).matmul(terms);
}

}  // namespace interplay::qa4prf
