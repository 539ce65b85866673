#pragma once

#include <cstdint>
#include <vector>

#include <ATen/core/Tensor.h>

#include <interplay/base/api.h>

namespace interplay::lm {

/// One layer's attention where each of B sequences has one more token.
struct AttentionStep {
  int64_t heads = 0, kv_heads = 0, head_dim = 0;
  std::vector<int64_t> past;      ///< [B]: tokens before it
  std::vector<float*> memory;     ///< [B]: f32 [2, kv_heads, capacity, head_dim]; the token's own are written behind
  std::vector<int64_t> capacity;  ///< [B], more than `past`
  at::Tensor cosines, sines;      ///< f32 [B, head_dim / 2]: the rotation of each sequence's position
};

/// What attention() is for one row of each sequence, without products of matrices: at so few rows, what they cost is
/// to be called. A sequence's result does not depend on the others. qkv f32 [B, (heads + 2 kv_heads) head_dim] ->
/// f32 [B, heads head_dim]
INTERPLAY_API at::Tensor attention_step(const at::Tensor& qkv, const AttentionStep& call);

}  // namespace interplay::lm
