#include "systems/autograph/metapath.h"

#include <algorithm>

#include <ATen/ATen.h>
#include <torch/nn/init.h>

#include <interplay/base/error.h>
#include <interplay/nn/dropout.h>
#include <interplay/nn/mlp.h>
#include <interplay/nn/row_linear.h>

#include "systems/autograph/row_edges.h"

namespace interplay::autograph {

at::Tensor CodedNodes::draw_members(const at::Tensor& codes, int64_t factors, int64_t most, uint64_t seed) {
  const auto all = codes.contiguous();
  const auto* const code = all.const_data_ptr<int64_t>();
  std::vector<std::vector<int64_t>> of(static_cast<size_t>(factors));
  for (int64_t i = 0; i < all.numel(); ++i) {
    if (code[i] < 0) continue;
    INTERPLAY_CHECK_DATA(code[i] < factors, "graph: node {} has factor {} of {}", i / all.size(1), code[i], factors);
    of[size_t(code[i])].push_back(i / all.size(1));
  }
  auto out = at::full({factors, most}, -1, at::kLong);
  for (int64_t f = 0; f < factors; ++f) {
    auto& members = of[size_t(f)];
    take_some(members, most, seed, uint64_t(f));
    std::sort(members.begin(), members.end());
    std::copy(members.begin(), members.end(), out[f].mutable_data_ptr<int64_t>());
  }
  return out;
}

MetapathImpl::MetapathImpl(const Kind& own_kind, const Kind& other_kind, int64_t width, const MetapathOptions& o)
    : dropout_(o.dropout) {
  const int64_t K = o.embedding_dim;
  const auto table = [&](const std::string& name, int64_t rows) {
    const auto made = register_module(name, torch::nn::Embedding(rows, K));
    torch::nn::init::normal_(made->weight, 0, o.init_std);
    return made;
  };
  own = table(own_kind.table, own_kind.nodes);
  own_factors = table("own_factors", own_kind.factors);
  other = table(other_kind.table, other_kind.nodes);
  other_factors = table("other_factors", other_kind.factors);
  const auto attention = [&](const char* name, int64_t source, int64_t target) {
    auto made = register_module(name, nn::GraphAttention(source, target, o.heads, o.head_dim));
    for (auto& p : made->parameters()) p.set_requires_grad(!o.freeze_gat);
    return made;
  };
  const int64_t H = o.heads * o.head_dim;
  own_to_factors = attention("own_to_factors", K, K);
  factors_to_own = attention("factors_to_own", H + K, K);
  other_to_factors = attention("other_to_factors", K, K);
  factors_to_other = attention("factors_to_other", H + K, K);
  other_to_own = attention("other_to_own", H, H);
  map_ = register_module("map", nn::xavier_linear(H, width));
}

MetapathImpl::Nodes MetapathImpl::nodes(const CodedNodes& of_own, const CodedNodes& of_other) {
  const auto enriched = [](nn::GraphAttention& up, nn::GraphAttention& down, const at::Tensor& e, const at::Tensor& q,
                           const CodedNodes& graph) {
    const auto n = up(e, q, nn::TargetEdges::of_lists(graph.members));           // [M C, H D]
    return down(at::cat({n, q}, 1), e, nn::TargetEdges::of_lists(graph.codes));  // [N, H D]
  };
  const auto h_other = enriched(other_to_factors, factors_to_other, other->weight, other_factors->weight, of_other);
  return {enriched(own_to_factors, factors_to_own, own->weight, own_factors->weight, of_own),
          other_to_own->sources(h_other)};
}

at::Tensor MetapathImpl::attend(const Nodes& nodes, const at::Tensor& rows, const at::Tensor& edges) {
  return other_to_own->attend(nodes.clicked, nodes.own.index_select(0, rows), nn::TargetEdges::of_lists(edges));
}

at::Tensor MetapathImpl::output(const at::Tensor& g) {
  return nn::dropout(nn::row_linear(g, map_).relu(), dropout_, is_training());
}

}  // namespace interplay::autograph
