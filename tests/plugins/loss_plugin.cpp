#include <ATen/ATen.h>
#include <interplay/core/loss.h>

namespace {

class Hinge final : public interplay::Loss {
 public:
  using Options = interplay::NoOptions;
  explicit Hinge(const Options&) {}
  at::Tensor forward(const interplay::LossInput& in) const override {
    return interplay::weighted_mean((1 - (2 * in.label - 1) * in.logit).clamp_min(0), in.weight);
  }
};

INTERPLAY_REGISTER(interplay::losses(), "test_hinge", Hinge, "max(0, 1 - y z), y being -1 or 1");

}  // namespace
