#pragma once

#include <torch/nn/module.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/modules/normalization.h>
#include <torch/nn/pimpl.h>

#include <interplay/base/api.h>

namespace interplay::flip {

/// What recovers masked features, of F fields as vectors z of K numbers (FLIP, arXiv:2310.19453, section 3.3.2):
///
///     q = norm(Wq v)      a = softmax(q H^T) H      z = Wo [v, a]
///
/// of the vector v of the masked ids and the states H of the whole text. No scaling, as the authors have it; what lies
/// behind a text's end is not looked at, which the authors do.
class INTERPLAY_API MaskedFeatureHeadImpl final : public torch::nn::Module {
 public:
  /// `text` 0: z of v alone.
  MaskedFeatureHeadImpl(int64_t hidden, int64_t text, int64_t fields, int64_t width);
  /// v f32 [B, H], states f32 [B, L, D] (undefined: a is zero), lengths i64 [B] -> z f32 [B, F, K]
  at::Tensor forward(const at::Tensor& v, const at::Tensor& states, const at::Tensor& lengths);

  torch::nn::Linear query{nullptr}, output{nullptr};  ///< Wq [D, H], Wo [F K, H + D]
  torch::nn::LayerNorm norm{nullptr};

 private:
  int64_t text_, fields_, width_;
};
TORCH_MODULE(MaskedFeatureHead);

/// What recovers masked tokens (section 3.3.1): W2 dropout(tanh(W1 [h, v])), of a token's state h and the vector v of
/// the whole ids.
class INTERPLAY_API MaskedTokenHeadImpl final : public torch::nn::Module {
 public:
  /// `hidden` 0: of h alone.
  MaskedTokenHeadImpl(int64_t text, int64_t hidden, int64_t vocabulary, double dropout);
  /// h f32 [N, D], v f32 [N, H] (undefined: zero) -> logits f32 [N, V]
  at::Tensor forward(const at::Tensor& h, const at::Tensor& v);

  torch::nn::Linear inner{nullptr}, output{nullptr};  ///< W1 [D, D + H], W2 [V, D]

 private:
  int64_t hidden_;
  double dropout_;
};
TORCH_MODULE(MaskedTokenHead);

}  // namespace interplay::flip
