#include <interplay/core/loss.h>

#include <ATen/ATen.h>

namespace interplay {

Loss::~Loss() = default;

Registry<Loss>& losses() {
  static auto* registry = new Registry<Loss>("loss");  // leaked: registrations may outlive static destruction
  return *registry;
}

at::Tensor weighted_mean(const at::Tensor& each, const at::Tensor& weight) {
  if (!weight.defined()) return each.mean();
  INTERPLAY_CHECK(weight.dim() == 1 && weight.size(0) == each.size(0),
                  "loss: weight is {}, the losses are {}; expected one weight a row", fmt::join(weight.sizes(), "x"),
                  fmt::join(each.sizes(), "x"));
  const auto rows = each.dim() > 1 ? each.flatten(1).mean(1) : each;  // [B]
  // Where all weights are 0 the numerator is 0 too, and any positive divisor makes the loss and its gradient 0.
  return (rows * weight).sum() / weight.sum().clamp_min(1e-30);
}

}  // namespace interplay
