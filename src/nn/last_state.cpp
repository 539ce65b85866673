#include <interplay/nn/last_state.h>

#include <ATen/ATen.h>

namespace interplay::nn {

at::Tensor last_state(const at::Tensor& states, const at::Tensor& lengths) {
  if (states.size(1) == 0) return at::zeros({states.size(0), states.size(2)}, states.options());
  const auto at_end = (lengths - 1).clamp_min(0).view({-1, 1, 1}).expand({-1, 1, states.size(2)});
  return states.gather(1, at_end).squeeze(1) * lengths.gt(0).unsqueeze(1);
}

}  // namespace interplay::nn
