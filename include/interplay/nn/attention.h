#pragma once

#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>

#include <interplay/nn/mlp.h>

namespace interplay::nn {

/// The vectors of a ragged batch of sequences, entry by entry: row b owns entries [offsets[b], offsets[b+1]). Tokens
/// that are missing in raw data are no entries.
struct SequenceVectors {
  at::Tensor vectors;  ///< f32 [N, K]
  at::Tensor row;      ///< i64 [N]: which row of the batch an entry belongs to, ascending
  at::Tensor offsets;  ///< i64 [B + 1]
  at::Tensor valid;  ///< bool [N], false = padding behind a row's entries, which must not count; undefined, as where a
                     ///< sequence is not padded: all count, an entry of id 0 (a vector of zeros) too
  at::Tensor weights;  ///< f32 [N], or undefined
  int64_t batch() const { return offsets.size(0) - 1; }
};

/// Entries of each row side by side, as recurrent and attention layers over time read them.
struct PaddedSequence {
  at::Tensor vectors;  ///< f32 [B, T, K]: entry t of row b, zero past the row's end; T is the longest row's length
  at::Tensor valid;    ///< bool [B, T]
  at::Tensor lengths;  ///< i64 [B]
};
/// Of a row's entries those that count, in their order. Differentiable.
INTERPLAY_API PaddedSequence pad(const SequenceVectors& sequence);

/// One vector a row. "sum": sum of w e. "mean": sum of w e over sum of |w|, w = 1 where there are no weights; a row
/// without entries gives zero. -> f32 [B, K]
INTERPLAY_API at::Tensor pool(const SequenceVectors& sequence, const std::string& how);

/// Softmax over the entries of each row. scores f32 [N] -> f32 [N]
INTERPLAY_API at::Tensor segment_softmax(const at::Tensor& scores, const SequenceVectors& sequence);

/// Some of the entries, in their order. which i64 [M], ascending -> M entries, without padding where it names none
INTERPLAY_API SequenceVectors select_entries(const SequenceVectors& sequence, const at::Tensor& which);
/// The last entries of each row, at most `count` of them.
INTERPLAY_API SequenceVectors last_entries(const SequenceVectors& sequence, int64_t count);
/// The entries of each row with the largest scores, at most `count` of them, in their order. scores f32 [N]
INTERPLAY_API SequenceVectors top_entries(const SequenceVectors& sequence, const at::Tensor& scores, int64_t count);

struct TargetAttentionOptions {
  std::vector<int64_t> hidden = {64, 32};
  std::string activation = "dice";
  double dropout = 0;
  bool softmax = false;
};

/// Local activation unit of DIN (Zhou et al. 2018, arXiv:1706.06978, sec. 4.3): score_t = MLP([q, h_t, q - h_t, q *
/// h_t]), result = sum over t of score_t h_t, by default without softmax. Entries may be wider than the target: the
/// further E numbers (a past item's rating, say) join the MLP's input and the sum as they are. q f32 [B, K], h f32 [N,
/// K + E] -> f32 [B, K + E]
class INTERPLAY_API TargetAttentionImpl : public torch::nn::Module {
 public:
  TargetAttentionImpl(int64_t width, int64_t extra, const TargetAttentionOptions& options);  ///< K, E
  at::Tensor forward(const at::Tensor& target, const SequenceVectors& sequence);

 private:
  Mlp mlp_;
  bool softmax_;
};
TORCH_MODULE(TargetAttention);

/// Scaled dot-product attention of a target over its entries (Vaswani et al. 2017, arXiv:1706.03762, sec. 3.2.2), as
/// the exact search unit of SIM reads what it found: of each of H heads, softmax over t of (W_q q) . (W_k h_t) / sqrt(A
/// / H) weighs W_v h_t; W_o maps all heads' sums side by side to the entries' width. A row without entries gives zero.
/// q f32 [B, K], h f32 [N, E] -> f32 [B, E]
class INTERPLAY_API MultiHeadTargetAttentionImpl : public torch::nn::Module {
 public:
  /// K, E, A and H. Error where A is no multiple of H.
  MultiHeadTargetAttentionImpl(int64_t target_width, int64_t entry_width, int64_t attention_dim, int64_t heads);
  at::Tensor forward(const at::Tensor& target, const SequenceVectors& sequence);

 private:
  int64_t heads_;
  torch::nn::Linear query_{nullptr}, key_{nullptr}, value_{nullptr}, output_{nullptr};
};
TORCH_MODULE(MultiHeadTargetAttention);

}  // namespace interplay::nn
