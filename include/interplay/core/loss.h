#pragma once

#include <memory>

#include <ATen/core/Tensor.h>

#include <interplay/base/registry.h>

namespace interplay {

/// One label of a batch, and what a model said of it.
struct LossInput {
  at::Tensor logit;        ///< f32 [B], before the sigmoid
  at::Tensor label;        ///< f32 [B], 0 to 1: soft where a term's target is; 0 where the row has none
  at::Tensor weight = {};  ///< f32 [B], 0 where the row has no label; undefined: every row has one and counts once
  at::Tensor group = {};   ///< i64 [B]: whose row it is; undefined where the data do not say
};

/// What training minimises, of one label at a time. Immutable, so it may be used from any thread.
///
/// A new loss is one file:
///
///     class Hinge final : public interplay::Loss {
///      public:
///       using Options = interplay::NoOptions;
///       explicit Hinge(const Options&) {}
///       at::Tensor forward(const interplay::LossInput& in) const override {
///         return interplay::weighted_mean((1 - (2 * in.label - 1) * in.logit).clamp_min(0), in.weight);
///       }
///     };
///     INTERPLAY_REGISTER(interplay::losses(), "hinge", Hinge, "max(0, 1 - y z)");
class INTERPLAY_API Loss {
 public:
  virtual ~Loss();
  /// Returns a scalar with a gradient to `logit`: a mean over the rows, in which a row of weight 0 has no part, see
  /// weighted_mean(); or over pairs or lists of rows of one group. Throws Error(config) where it needs a group and the
  /// data have none.
  virtual at::Tensor forward(const LossInput& in) const = 0;
};

INTERPLAY_API Registry<Loss>& losses();

/// Mean of `each` [B] or [B, n] in which row b counts weight[b] times: sum_b weight[b] mean_n each[b, n] / sum weight.
/// The sum of weights, not B, divides, so scaling all weights changes nothing; a batch of weight 0 gives 0.
/// An undefined weight gives the plain mean.
INTERPLAY_API at::Tensor weighted_mean(const at::Tensor& each, const at::Tensor& weight);

}  // namespace interplay
