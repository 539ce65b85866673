#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include <ATen/core/Tensor.h>

#include <interplay/lm/decoder.h>
#include <interplay/lm/roles.h>

namespace interplay::lm {

/// What texts are read with beside their tokens: vectors in place of some of them (soft prompts), and what adapters are
/// given for each text. Gradients flow to both.
class INTERPLAY_API Conditions {
 public:
  Conditions() = default;
  /// vectors f32 [M, D]: those of all places in `texts` that say kVector, in order; undefined: there are none. Cores
  /// and experts of `adapters` are [texts, ...]. The texts are not kept. Throws Error where numbers do not fit.
  Conditions(std::span<const TokenIds> texts, at::Tensor vectors, AdapterCall adapters);

  /// Whether what a text says can be read before it is known whose it is: then no adapter asks.
  bool is_by_sample() const { return !adapters_.mixes.empty(); }
  bool has_vectors() const { return vectors_.defined(); }
  /// Of these texts, in this order: f32 [m, D], undefined where no text has any.
  at::Tensor vectors(std::span<const int64_t> which) const;
  AdapterCall adapters(std::span<const int64_t> which) const;

 private:
  at::Tensor vectors_;
  std::vector<int64_t> offsets_;  // [texts + 1]
  AdapterCall adapters_;
};

}  // namespace interplay::lm
