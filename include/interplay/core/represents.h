#pragma once

#include <ATen/core/Tensor.h>

#include <interplay/data/features.h>

namespace interplay {

/// A model with a last hidden vector, beside being a Model: what other models are aligned with, distilled from or built
/// on. It holds all that the logit is made of: output(represent(x)) is forward(x).logit up to rounding.
///
///     auto* const body = dynamic_cast<Represents*>(model.get());
///     const at::Tensor h = body->represent(x);
///
/// represent() is of the mode that the model is in, dropout included, and has no terms: who learns the body's terms too
/// calls forward().
/// Thread safety: as that of Model::forward().
class INTERPLAY_API Represents {
 public:
  virtual ~Represents();
  virtual at::Tensor represent(const Features& x) = 0;      ///< f32 [B, H]
  virtual at::Tensor output(const at::Tensor& hidden) = 0;  ///< f32 [B, H] -> logit f32 [B]
  virtual int64_t representation_width() const = 0;         ///< H
};

/// A hidden vector beside what else the logit is a sum of: f32 [B, H], [B] -> [B, H + 1]; and the two apart again.
INTERPLAY_API at::Tensor with_rest(const at::Tensor& hidden, const at::Tensor& rest);
struct HiddenAndRest {
  at::Tensor hidden, rest;
};
INTERPLAY_API HiddenAndRest without_rest(const at::Tensor& joined);

}  // namespace interplay
