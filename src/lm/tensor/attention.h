#pragma once

#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>

#include <interplay/base/api.h>

namespace interplay::lm {

/// One layer's attention over sequences that lie end to end.
struct INTERPLAY_API AttentionCall {
  int64_t heads = 0, kv_heads = 0, head_dim = 0;
  bool causal = true;
  std::vector<int64_t> offsets;    ///< [B + 1]: sequence b has rows offsets[b] .. offsets[b + 1]
  std::vector<int64_t> past;       ///< [B]: tokens before them, whose keys and values lie in `memory`
  std::vector<at::Tensor> memory;  ///< [B], or empty where there is no past: f32 [2, kv_heads, capacity, head_dim]
  bool extend = false;             ///< keys (rotated) and values of the rows are written into `memory` behind the past
  at::Tensor cosines, sines;       ///< f32 [positions, head_dim / 2] of the angles of rotary positions
  int64_t sequences() const { return int64_t(past.size()); }
  int64_t longest() const;  ///< the most keys that a sequence has
};

/// Rotary positions (Su et al. 2021, arXiv:2104.09864; numbers i and i + head_dim / 2 make a pair), then grouped-query
/// attention (Ainslie et al. 2023, arXiv:2305.13245): softmax(q k^T / sqrt(head_dim)) v, where head h reads key head h
/// / (heads / kv_heads). Row i of a sequence sees its past and, if causal, rows up to i. The past is constant.
/// qkv f32 or bf16 [N, (heads + 2 kv_heads) head_dim]: queries, keys, values -> [N, heads head_dim]
/// One pass over memory on the CPU, forwards and backwards; elsewhere, and within nn::PlainScope, by its ATen twin.
INTERPLAY_API at::Tensor attention(const at::Tensor& qkv, const AttentionCall& call);

/// cos and sin of position * base^(-2 i / head_dim), in f32 as the models were trained.
/// -> f32 [positions, head_dim / 2]
INTERPLAY_API std::pair<at::Tensor, at::Tensor> rotary_table(int64_t positions, int64_t head_dim, double base);
/// Rows of that table alone: f32 [positions, head_dim / 2]
std::pair<at::Tensor, at::Tensor> rotary_rows(const std::vector<int64_t>& positions, int64_t head_dim, double base);

/// exp(score - most) of the first `seen` of `width` scores, in place, the others zero -> 1 / their sum; `lse` becomes
/// the log of the sum + most.
float softmax_row(float* score, int64_t seen, int64_t width, float* lse);

}  // namespace interplay::lm
