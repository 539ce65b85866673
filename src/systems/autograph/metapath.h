#pragma once

#include <cstdint>
#include <string>

#include <torch/nn/module.h>
#include <torch/nn/modules/embedding.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/pimpl.h>

#include <interplay/base/options.h>
#include <interplay/nn/graph_attention.h>

namespace interplay::autograph {

/// Nodes of one kind, users or items, and the factor nodes that quantising their vectors gave them.
struct CodedNodes {
  at::Tensor codes;    ///< i64 [N, M]: the factor nodes of each, k C + c of book k; -1 where a node has none
  at::Tensor members;  ///< i64 [M C, L]: of each factor node up to L nodes that have it; -1 where there are fewer

  /// Draws the members, ascending: of more than `most` those that a draw by (seed, factor node) takes.
  INTERPLAY_API static at::Tensor draw_members(const at::Tensor& codes, int64_t factors, int64_t most, uint64_t seed);
};

struct MetapathOptions {
  int64_t embedding_dim = 32, heads = 2, head_dim = 32;
  double dropout = 0.1, init_std = 0.02;
  bool freeze_gat = false;
  void visit(auto&& field) {
    field("embedding_dim", embedding_dim, "numbers of each node's own vector", Range{1, 4096});
    field("heads", heads, "of each graph attention", Range{1, 64});
    field("head_dim", head_dim, "numbers that a head gives", Range{1, 4096});
    field("dropout", dropout, "of what is given", Range{0, 0.99});
    field("init_std", init_std, "nodes' vectors start from N(0, init_std^2)", Range{0, 100});
    field("freeze_gat", freeze_gat, "graph attention stays as it is drawn, as in the authors' released code");
  }
};

/// One side's vectors of AutoGraph: with own = users and other = items the paths U-Qu-U and U-I-Qi-I, with the two
/// exchanged the item's. Nodes of each kind are enriched by what shares their factors, and the other kind's then tell
/// a node of its own about its clicks:
///
///     n_q = GAT(own -> Q)(e_own; e_q)         h_own = GAT(Q -> own)([n_q, e_q]; e_own)
///     n_p = GAT(other -> P)(e_other; e_p)     h_other = GAT(P -> other)([n_p, e_p]; e_other)
///     g = GAT(other -> own)(h_other; h_own)   y = dropout(relu(W g + b))
///
/// Only g depends on a row, whose edges may differ: nodes() is the whole graph, once for all rows. Both sides have
/// tables and weights of their own. Thread safety: as torch::nn::Module.
class INTERPLAY_API MetapathImpl : public torch::nn::Module {
 public:
  struct Kind {
    std::string table;  ///< that ids are of: a name of its vectors, which grow with it (--init)
    int64_t nodes = 0, factors = 0;
  };
  MetapathImpl(const Kind& own, const Kind& other, int64_t width, const MetapathOptions& options);

  /// What the whole graph says of its nodes.
  struct Nodes {
    at::Tensor own;                           ///< f32 [N, H D], h_own
    nn::GraphAttentionImpl::Sources clicked;  ///< of h_other
  };
  Nodes nodes(const CodedNodes& own, const CodedNodes& other);
  /// g of rows' own nodes, i64 [B]; `edges` i64 [B, L] names the other kind's nodes, -1: none. f32 [B, H D]
  at::Tensor attend(const Nodes& nodes, const at::Tensor& own, const at::Tensor& edges);
  at::Tensor output(const at::Tensor& g);  ///< f32 [B, H D] -> f32 [B, width]
  int64_t width() const { return map_->options.out_features(); }

  torch::nn::Embedding own{nullptr}, own_factors{nullptr}, other{nullptr}, other_factors{nullptr};
  nn::GraphAttention own_to_factors{nullptr}, factors_to_own{nullptr}, other_to_factors{nullptr},
      factors_to_other{nullptr}, other_to_own{nullptr};

 private:
  torch::nn::Linear map_{nullptr};
  double dropout_;
};
TORCH_MODULE(Metapath);

}  // namespace interplay::autograph
