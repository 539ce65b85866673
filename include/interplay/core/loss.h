#pragma once

#include <memory>

#include <ATen/core/Tensor.h>

#include <interplay/base/registry.h>

namespace interplay {

/// What training minimises. Immutable, so it may be used from any thread.
///
/// A new loss is one file:
///
///     class Hinge final : public interplay::Loss {
///      public:
///       using Options = interplay::NoOptions;
///       explicit Hinge(const Options&) {}
///       at::Tensor forward(const at::Tensor& logit, const at::Tensor& label, const at::Tensor& weight) const override
///       {
///         return interplay::weighted_mean((1 - (2 * label - 1) * logit).clamp_min(0), weight);
///       }
///     };
///     INTERPLAY_REGISTER(interplay::losses(), "hinge", Hinge, "max(0, 1 - y z)");
class INTERPLAY_API Loss {
 public:
  virtual ~Loss();
  /// logit f32 [B] or [B, T], before the sigmoid; label of the same shape; weight f32 [B] or undefined.
  /// Returns a scalar with a gradient to `logit`: the mean over rows (and labels), see weighted_mean().
  virtual at::Tensor forward(const at::Tensor& logit, const at::Tensor& label, const at::Tensor& weight) const = 0;
};

INTERPLAY_API Registry<Loss>& losses();

/// Mean of `each` [B] or [B, T] in which row b counts weight[b] times: sum_b weight[b] mean_t each[b, t] / sum weight.
/// The sum of weights, not B, divides, so scaling all weights changes nothing; a batch of weight 0 gives 0.
/// An undefined weight gives the plain mean.
INTERPLAY_API at::Tensor weighted_mean(const at::Tensor& each, const at::Tensor& weight);

}  // namespace interplay
