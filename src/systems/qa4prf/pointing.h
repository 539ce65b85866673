#pragma once

#include <cstdint>
#include <functional>

#include <ATen/core/Tensor.h>

#include <interplay/base/api.h>

namespace interplay::qa4prf {

/// u_i = v . tanh(W1 M_i + W2 s) (Vinyals et al. 2015, arXiv:1506.03134, eq. 3). M [B, n, D], s [B, H], W1 [A, D], W2
/// [A, H], v [A] -> [B, n]
INTERPLAY_API at::Tensor pointer_logits(const at::Tensor& M, const at::Tensor& s, const at::Tensor& W1,
                                        const at::Tensor& W2, const at::Tensor& v);

/// What a step of the pointer says.
struct PointerStep {
  at::Tensor positions;  ///< logits [B, n]
  at::Tensor stop;       ///< logit of the stop token [B]
};
/// Called once a step with what the step before pointed at (the sum of p_i M_i [B, D]; undefined in the first).
using NextStep = std::function<PointerStep(const at::Tensor& pointed_at)>;

/// Which of K terms stands where, and which are sought.
struct Pointable {
  at::Tensor M;  ///< f32 [B, n, D]
  at::Tensor
      slots;  ///< i64 [B, n], 0 .. K - 1: the candidate that stands there; K: none does (also where the text ends)
  int64_t terms = 0;  ///< K
  at::Tensor wanted;  ///< bool [B, K], each of them somewhere in its row; undefined: the pointer decides
  int64_t steps = 10;
};

struct Pointed {
  at::Tensor loss;   ///< [B]; undefined where nothing is wanted
  at::Tensor terms;  ///< [B, K]: mean over a row's steps, up to its stop, of P_t(w)
  at::Tensor taken;  ///< bool [B, K]
};

/// Points at terms, one a step. P_t is a softmax over the stop token and the positions of candidates that were not
/// taken; P_t(w) is the sum over the positions of w. Where terms are wanted, in whatever order: the loss is -sum_t log
/// sum of P_t(w) over those not yet taken, of which the likeliest is taken; once none is left, the stop token is
/// wanted. Else the likeliest of all is taken, and a row ends with its stop token, or after `steps`.
INTERPLAY_API Pointed point_at_terms(const Pointable& in, const NextStep& next);

/// The simple form, one step: wanted [B, K] are then weights of at least 0, and the loss is the divergence of P from
/// them, scaled to sum to 1; a row without any wants the stop token.
INTERPLAY_API Pointed point_once(const Pointable& in, const at::Tensor& weights, const PointerStep& step);

/// Of a query's documents: sum over d of softmax(score)_d terms_d. scores [M], terms [M, K] -> [K]
INTERPLAY_API at::Tensor aggregate(const at::Tensor& scores, const at::Tensor& terms);

}  // namespace interplay::qa4prf
