#pragma once

#include <ATen/core/Tensor.h>

#include <interplay/base/api.h>

namespace interplay::qa4prf {

/// What a document's words take of a query's, and what the query marks in the document.
struct AttentionFlow {
  at::Tensor similarity;  ///< S [B, n, m]
  at::Tensor query;       ///< U [B, n, D]: of each word of the document, the query as it sees it
  at::Tensor weights;     ///< b [B, n]: of each word, how much some word of the query means it
  at::Tensor context;     ///< h [B, D]: the document as the query sees it
  at::Tensor joined;      ///< G = [c; U; c U; c h] [B, n, 4 D]
};

/// Attention flow in both directions (Seo et al. 2017, arXiv:1611.01603, eq. 1-4): S_ij = w . [c_i; q_j; c_i q_j], U_i
/// = sum_j softmax_j(S_ij) q_j, b = softmax_i(max_j S_ij), h = sum_i b_i c_i. c [B, n, D], q [B, m, D], w [3 D], masks
/// bool [B, n] and [B, m], of which each row has a true one. An undefined w is S = 0: all words weigh alike.
INTERPLAY_API AttentionFlow attention_flow(const at::Tensor& c, const at::Tensor& q, const at::Tensor& w,
                                           const at::Tensor& context_mask, const at::Tensor& query_mask);

}  // namespace interplay::qa4prf
