#pragma once

#include <memory>
#include <mutex>

#include <ATen/core/Tensor.h>

/// Layers whose matrix products have bf16 factors; what is stored between them is bf16 too. CPU only.
namespace interplay::nn {

/// The bf16 copy of a weight, made anew only after the weight has changed. For many threads at once.
class Bf16Weight {
 public:
  at::Tensor of(const at::Tensor& weight);  ///< f32 -> bf16, detached

 private:
  std::mutex mutex_;
  at::Tensor copy_;
  const void* data_ = nullptr;
  uint32_t version_ = 0;
};

/// Whether layers should run in bf16 here and now: the thread's precision, on a CPU tensor.
bool in_bf16(const at::Tensor& x);

/// x to bf16, without a graph. What two layers read, or whoever wrote x has written in bf16 too, is not converted
/// again.
at::Tensor to_bf16(const at::Tensor& x);
/// Says that `half` is x in bf16. Layers of this thread then read it in place of x, and their gradients go to it.
void offer_bf16(const at::Tensor& x, const at::Tensor& half);
/// What was offered for x, or for what x is a view of; otherwise x.
at::Tensor offered_bf16(const at::Tensor& x);
void forget_bf16();

/// x W^T + b, then relu if asked. x f32 or bf16 [N, in], weight f32 [out, in], bias f32 [out]
/// -> bf16 [N, out]
at::Tensor bf16_linear(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias, bool relu,
                       Bf16Weight& copy);

/// The same for few outputs, with an f32 weight: x bf16 [N, in], weight f32 [1, in], bias f32 [1] -> f32 [N, 1]
at::Tensor bf16_dot(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias);

/// nn::Cross: x0 f32 or bf16 [N, W], weight f32 [L, W, W], bias f32 [L, W] -> f32 [N, W]
at::Tensor bf16_cross(const at::Tensor& x0, const at::Tensor& weight, const at::Tensor& bias, Bf16Weight& copy);

}  // namespace interplay::nn
