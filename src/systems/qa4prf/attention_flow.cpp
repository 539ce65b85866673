#include "systems/qa4prf/attention_flow.h"

#include <cmath>

#include <ATen/ATen.h>

namespace interplay::qa4prf {

AttentionFlow attention_flow(const at::Tensor& c, const at::Tensor& q, const at::Tensor& w,
                             const at::Tensor& context_mask, const at::Tensor& query_mask) {
  const int64_t B = c.size(0), n = c.size(1), m = q.size(1), D = c.size(2);
  AttentionFlow out;
  if (w.defined()) {
    const auto of_c = w.narrow(0, 0, D), of_q = w.narrow(0, D, D), of_both = w.narrow(0, 2 * D, D);
    out.similarity = c.matmul(of_c).unsqueeze(2) + q.matmul(of_q).unsqueeze(1) + (c * of_both).bmm(q.transpose(1, 2));
  } else {
    out.similarity = at::zeros({B, n, m}, c.options());
  }
  const auto seen = out.similarity.masked_fill(query_mask.logical_not().unsqueeze(1), -INFINITY);
  out.query = seen.softmax(2).bmm(q);
  out.weights = seen.amax(2).masked_fill(context_mask.logical_not(), -INFINITY).softmax(1);
  out.context = out.weights.unsqueeze(1).bmm(c).squeeze(1);
  out.joined = at::cat({c, out.query, c * out.query, c * out.context.unsqueeze(1)}, 2);
  return out;
}

}  // namespace interplay::qa4prf
