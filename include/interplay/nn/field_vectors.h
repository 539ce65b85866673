#pragma once

#include <ATen/core/Tensor.h>

#include <interplay/base/api.h>

namespace interplay::nn {

/// The vectors of every field of a batch, f32 [B, F, K]. It becomes a tensor where one is read; layers that can work
/// without it (nn::fm) take it as it is.
class INTERPLAY_API FieldVectors {
 public:
  explicit FieldVectors(at::Tensor vectors) : vectors_(std::move(vectors)) {}
  const at::Tensor& tensor() const { return vectors_; }                ///< [B, F, K]
  at::Tensor flat() const { return vectors_.flatten(1); }              ///< [B, F * K]
  at::Tensor field(int64_t f) const { return vectors_.select(1, f); }  ///< [B, K]
  operator const at::Tensor&() const { return vectors_; }
  int64_t batch() const { return vectors_.size(0); }
  int64_t fields() const { return vectors_.size(1); }
  int64_t width() const { return vectors_.size(2); }

 private:
  at::Tensor vectors_;
};

}  // namespace interplay::nn
