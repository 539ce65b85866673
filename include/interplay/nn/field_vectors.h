#pragma once

#include <memory>
#include <vector>

#include <ATen/core/Tensor.h>

#include <interplay/base/api.h>
#include <interplay/nn/embedding.h>

namespace interplay::nn {

/// The vectors of every field of a batch, f32 [B, F, K]. It becomes a tensor where one is read; layers that can work
/// without it (nn::fm, nn::sum_fields) read the tables themselves.
class INTERPLAY_API FieldVectors {
 public:
  /// Rows of tables, named by a batch's ids, and vectors that come from elsewhere.
  struct Parts {
    at::Tensor ids;                 ///< i32 [B, F1], or undefined
    std::vector<Embedding> tables;  ///< F1
    at::Tensor others;              ///< f32 [B, F2, K], or undefined
    int64_t width = 0;              ///< K; 0 = that of the first table. Narrower tables are followed by zeros
    int64_t vector_width() const { return width > 0 ? width : tables.front()->width(); }
    at::Tensor others_or_empty() const;  ///< [0] where there are none: autograd wants a tensor
  };

  explicit FieldVectors(at::Tensor vectors);                           ///< f32 [B, F, K]
  explicit FieldVectors(Parts parts);                                  ///< F = F1 + F2, in this order
  const at::Tensor& tensor() const;                                    ///< [B, F, K]; gathered when first asked for
  at::Tensor flat() const { return tensor().flatten(1); }              ///< [B, F * K]
  at::Tensor field(int64_t f) const { return tensor().select(1, f); }  ///< [B, K]
  operator const at::Tensor&() const { return tensor(); }
  bool gathered() const { return state_->vectors.defined(); }
  const Parts& parts() const { return state_->parts; }  ///< empty where a tensor was given
  int64_t batch() const;
  int64_t fields() const;
  int64_t width() const;

 private:
  struct State {
    Parts parts;
    at::Tensor vectors;
  };
  std::shared_ptr<State> state_;
};

}  // namespace interplay::nn
