#pragma once

#include <cstdint>

#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>

#include <interplay/base/api.h>

namespace interplay::nn {

/// Edges of a bipartite graph, target by target: edges offsets[t] .. offsets[t + 1] end in target t, and come from
/// these sources. An edge that is there twice counts twice.
struct TargetEdges {
  at::Tensor sources;  ///< i64 [E]
  at::Tensor offsets;  ///< i64 [T + 1]
  int64_t targets() const { return offsets.size(0) - 1; }

  /// Of lists that are filled up with negative numbers: i64 [T, L], -1 is no edge.
  INTERPLAY_API static TargetEdges of_lists(const at::Tensor& lists);
};

/// How much of each edge a target takes: of each head, softmax over the target's edges of LeakyReLU(l_source +
/// r_target). source_score f32 [S, H], target_score f32 [T, H] -> f32 [E, H]
INTERPLAY_API at::Tensor edge_attention(const at::Tensor& source_score, const at::Tensor& target_score,
                                        const TargetEdges& edges, double slope = 0.2);

/// Sum over a target's edges of attention times the source's values: f32 [S, H, D] -> f32 [T, H, D], zero for a target
/// without edges. One pass over the edges of each target, on all threads, and the same bits whatever their number; its
/// plain twin is edge_attention() and a scatter. Differentiable once. Throws Error where an edge names no source.
INTERPLAY_API at::Tensor gather_attention(const at::Tensor& values, const at::Tensor& source_score,
                                          const at::Tensor& target_score, const TargetEdges& edges, double slope = 0.2);

/// Graph attention from one kind of node to another (Velickovic et al. 2018, arXiv:1710.10903, eq. 1 to 5, with
/// weights of their own for both kinds, as DGL's GATConv has it for a pair of features):
///
///     e_ij = LeakyReLU_0.2(a_l . W_s x_j + a_r . W_d x_i)    y_i = sum over j of softmax_j(e_ij) W_s x_j + b
///
/// of each of H heads, side by side. A target without edges is b. Starts from Xavier normal with gain sqrt(2), b = 0.
///
///     GraphAttention layer(8, 8, 2, 32);
///     const at::Tensor y = layer(users, codes, edges);   // [S, 8], [T, 8] -> [T, 64]
///
/// Thread safety: as torch::nn::Module; concurrent forward() under NoGradGuard is allowed.
class INTERPLAY_API GraphAttentionImpl : public torch::nn::Module {
 public:
  GraphAttentionImpl(int64_t source_width, int64_t target_width, int64_t heads, int64_t head_width);
  /// source f32 [S, source_width], target f32 [T, target_width] -> f32 [T, H D]
  at::Tensor forward(const at::Tensor& source, const at::Tensor& target, const TargetEdges& edges);
  /// What forward() needs of the sources, for whoever asks for several sets of targets: values and score.
  struct Sources {
    at::Tensor values;  ///< f32 [S, H, D]: W_s x
    at::Tensor score;   ///< f32 [S, H]: a_l . W_s x
  };
  Sources sources(const at::Tensor& source);
  at::Tensor attend(const Sources& sources, const at::Tensor& target, const TargetEdges& edges);  ///< f32 [T, H D]
  int64_t width() const { return heads_ * head_width_; }                                          ///< H D

  at::Tensor source_weight;  ///< f32 [H D, source_width], W_s
  at::Tensor target_weight;  ///< f32 [H D, target_width], W_d
  at::Tensor attend_source;  ///< f32 [H, D], a_l
  at::Tensor attend_target;  ///< f32 [H, D], a_r
  at::Tensor bias;           ///< f32 [H D]

 private:
  int64_t heads_, head_width_;
};
TORCH_MODULE(GraphAttention);

}  // namespace interplay::nn
