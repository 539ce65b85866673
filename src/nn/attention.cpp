#include <interplay/nn/attention.h>

#include <ATen/ATen.h>

#include <interplay/base/error.h>

namespace interplay::nn {

at::Tensor pool(const SequenceVectors& s, const std::string& how) {
  auto e = s.vectors;  // [N, K]
  auto w = s.weights;
  if (s.valid.defined()) w = w.defined() ? w * s.valid : s.valid.to(at::kFloat);
  if (w.defined()) e = e * w.unsqueeze(1);
  const auto sum = at::zeros({s.batch(), e.size(1)}, e.options()).index_add(0, s.row, e);  // [B, K]
  if (how == "sum") return sum;
  INTERPLAY_CHECK(how == "mean", "pooling '{}' is not known (mean | sum)", how);
  const auto count = w.defined() ? at::zeros({s.batch()}, w.options()).index_add(0, s.row, w.abs())
                                 : s.offsets.diff().to(at::kFloat);  // [B]
  return sum / count.clamp_min(1e-12).unsqueeze(1);
}

at::Tensor segment_softmax(const at::Tensor& scores, const SequenceVectors& s) {
  if (scores.numel() == 0) return scores;
  const int64_t longest = s.offsets.diff().max().item<int64_t>();
  const auto place = at::arange(scores.size(0), s.row.options()) - s.offsets.index_select(0, s.row);
  const auto index = s.row * longest + place;  // into [B, L]
  const auto masked = s.valid.defined() ? scores.masked_fill(~s.valid, -1e30) : scores;
  auto padded = at::full({s.batch() * longest}, -1e30, scores.options()).index_copy(0, index, masked);
  return padded.view({s.batch(), longest}).softmax(1).reshape(-1).index_select(0, index);
}

TargetAttentionImpl::TargetAttentionImpl(int64_t width, int64_t extra, const TargetAttentionOptions& options)
    : mlp_(register_module("mlp", Mlp(4 * width + extra, MlpOptions{.hidden = options.hidden,
                                                                    .dropout = options.dropout,
                                                                    .activation = options.activation}))),
      softmax_(options.softmax) {}

at::Tensor TargetAttentionImpl::forward(const at::Tensor& target, const SequenceVectors& s) {
  const int64_t width = target.size(1), extra = s.vectors.size(1) - width;
  const auto zero = at::zeros({s.batch(), width + extra}, target.options());
  if (s.vectors.size(0) == 0) return zero;
  const auto q = target.index_select(0, s.row);                          // [N, K]
  const auto h = extra > 0 ? s.vectors.narrow(1, 0, width) : s.vectors;  // [N, K]
  std::vector<at::Tensor> input{q, h, q - h, q * h};
  if (extra > 0) input.push_back(s.vectors.narrow(1, width, extra));
  auto score = mlp_(at::cat(input, 1)).squeeze(1);  // [N]
  if (softmax_) score = segment_softmax(score, s);
  if (s.valid.defined()) score = score * s.valid;
  return zero.index_add(0, s.row, score.unsqueeze(1) * s.vectors);  // [B, K + E]
}

}  // namespace interplay::nn
