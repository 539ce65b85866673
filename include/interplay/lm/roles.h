#pragma once

#include <cstdint>
#include <span>
#include <string>

#include <ATen/core/Tensor.h>

#include <interplay/base/api.h>

namespace interplay::lm {

/// What a language model is to a recommender, one interface a role (the map of Lin et al. 2023, arXiv:2306.05817).
/// Systems take a role, never a model: whichever model fills it is the user's choice.

/// Feature encoder: texts to vectors.
class INTERPLAY_API TextEncoder {
 public:
  virtual ~TextEncoder();

  /// f32 [N, width()] on the CPU: row i is the vector of texts[i], whatever the other texts are, up to rounding. No
  /// gradients. Throws Error(data) for a text that is not UTF-8, naming its number.
  virtual at::Tensor encode(std::span<const std::string> texts) = 0;
  virtual int64_t width() const = 0;
  /// Names all that decides the vectors: kind, pooling, length, precision, checksum of the weights. For logs and
  /// caches.
  virtual std::string identity() const = 0;
};

}  // namespace interplay::lm
