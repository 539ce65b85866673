#pragma once

#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>

#include <interplay/nn/mlp.h>

namespace interplay::nn {

/// The vectors of a ragged batch of sequences, entry by entry: row b owns entries [offsets[b], offsets[b+1]).
struct SequenceVectors {
  at::Tensor vectors;  ///< f32 [N, K]
  at::Tensor row;      ///< i64 [N]: which row of the batch an entry belongs to, ascending
  at::Tensor offsets;  ///< i64 [B + 1]
  at::Tensor valid;    ///< bool [N], false = padding that must not count; undefined = all count
  at::Tensor weights;  ///< f32 [N], or undefined
  int64_t batch() const { return offsets.size(0) - 1; }
};

/// One vector a row. "sum": sum of w e. "mean": sum of w e over sum of |w|, w = 1 where there are no weights; a row
/// without entries gives zero. -> f32 [B, K]
INTERPLAY_API at::Tensor pool(const SequenceVectors& sequence, const std::string& how);

/// Softmax over the entries of each row. scores f32 [N] -> f32 [N]
INTERPLAY_API at::Tensor segment_softmax(const at::Tensor& scores, const SequenceVectors& sequence);

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

}  // namespace interplay::nn
