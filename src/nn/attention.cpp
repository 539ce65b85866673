#include <interplay/nn/attention.h>

#include <algorithm>
#include <cmath>

#include <ATen/ATen.h>

#include <interplay/base/error.h>
#include <interplay/nn/row_linear.h>

#include "nn/kernels/watched_call.h"

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

namespace {

/// Where entries lie in a table [B, L] of padded rows.
struct PaddedPlaces {
  explicit PaddedPlaces(const SequenceVectors& s)
      : longest(s.offsets.diff().max().item<int64_t>()),
        index(s.row * longest + at::arange(s.row.size(0), s.row.options()) - s.offsets.index_select(0, s.row)) {}
  int64_t longest;   // L
  at::Tensor index;  // i64 [N], into [B L]
};

}  // namespace

PaddedSequence pad(const SequenceVectors& s) {
  if (s.valid.defined())
    return pad(select_entries({s.vectors, s.row, s.offsets, {}, {}}, s.valid.nonzero().squeeze(1)));
  const auto lengths = s.offsets.diff();  // [B]
  const int64_t batch = s.batch(), width = s.vectors.size(1);
  if (s.vectors.size(0) == 0)
    return {s.vectors.new_zeros({batch, 0, width}), at::zeros({batch, 0}, lengths.options().dtype(at::kBool)), lengths};
  const auto [longest, index] = PaddedPlaces(s);
  const auto vectors = s.vectors.new_zeros({batch * longest, width}).index_copy(0, index, s.vectors);
  const auto valid = at::arange(longest, lengths.options()).unsqueeze(0) < lengths.unsqueeze(1);
  return {vectors.view({batch, longest, width}), valid, lengths};
}

namespace {

at::Tensor segment_softmax_of(const at::Tensor& scores, const SequenceVectors& s) {
  const auto [longest, index] = PaddedPlaces(s);
  const auto masked = s.valid.defined() ? scores.masked_fill(~s.valid, -1e30) : scores;
  auto padded = at::full({s.batch() * longest}, -1e30, scores.options()).index_copy(0, index, masked);
  return padded.view({s.batch(), longest}).softmax(1).reshape(-1).index_select(0, index);
}

}  // namespace

at::Tensor segment_softmax(const at::Tensor& scores, const SequenceVectors& s) {
  if (scores.numel() == 0) return scores;
  return PlainScope::active() && !s.valid.defined()
             ? watched_call("interplay::segment_softmax", scores, s.row, s.offsets)
             : segment_softmax_of(scores, s);
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

namespace {

/// Where the entries of each row begin that are left of those of `offsets`. row i64 [M] -> i64 [B + 1]
at::Tensor offsets_of(const at::Tensor& row, const at::Tensor& offsets) {
  const auto counts = at::zeros({offsets.size(0) - 1}, offsets.options()).index_add(0, row, at::ones_like(row));
  return at::cat({at::zeros({1}, counts.options()), counts.cumsum(0)});
}

}  // namespace

SequenceVectors select_entries(const SequenceVectors& s, const at::Tensor& which) {
  const auto some = [&](const at::Tensor& x) { return x.defined() ? x.index_select(0, which) : x; };
  const auto row = some(s.row);
  const auto offsets =
      PlainScope::active() ? watched_call("interplay::offsets_of", row, s.offsets) : offsets_of(row, s.offsets);
  return {some(s.vectors), row, offsets, some(s.valid), some(s.weights)};
}

namespace {

/// Places of the last entries of each row. -> i64 [M], ascending
at::Tensor places_of_last(const SequenceVectors& s, int64_t count) {
  auto left = s.offsets.index_select(0, s.row + 1) - at::arange(s.row.size(0), s.row.options());  // [N], from 1
  auto keep = left <= count;
  if (s.valid.defined()) {                                               // padding lies behind a row's entries
    const auto ahead = s.valid.to(at::kLong).flip(0).cumsum(0).flip(0);  // valid entries from here to the batch's end
    const auto behind = at::cat({ahead, at::zeros({1}, ahead.options())}).index_select(0, s.offsets.slice(0, 1));
    keep = s.valid.logical_and(ahead - behind.index_select(0, s.row) <= count);
  }
  return keep.nonzero().squeeze(1);
}

/// Places of the entries with the largest scores, of equal ones the last. Sorted from the end by a stable sort: what
/// topk() leaves of equal scores depends on how long other rows are.
at::Tensor places_of_top(const SequenceVectors& s, const at::Tensor& scores, int64_t count) {
  const auto known = s.valid.defined() ? scores.masked_fill(~s.valid, -HUGE_VAL) : scores;
  const auto [longest, index] = PaddedPlaces(s);
  const auto padded = at::full({s.batch() * longest}, -HUGE_VAL, known.options())
                          .index_copy(0, index, known)
                          .view({s.batch(), longest});
  const auto order = std::get<1>(padded.flip(1).sort(/*stable=*/true, 1, /*descending=*/true));
  const auto best = longest - 1 - order.narrow(1, 0, std::min(count, longest));
  const auto kept = at::zeros({s.batch(), longest}, at::kBool).to(scores.device()).scatter(1, best, true).flatten();
  auto keep = kept.index_select(0, index);
  if (s.valid.defined()) keep = keep.logical_and(s.valid);
  return keep.nonzero().squeeze(1);
}

}  // namespace

SequenceVectors last_entries(const SequenceVectors& s, int64_t count) {
  return select_entries(s, PlainScope::active() && !s.valid.defined()
                               ? watched_call("interplay::places_of_last", s.row, s.offsets, count)
                               : places_of_last(s, count));
}

SequenceVectors top_entries(const SequenceVectors& s, const at::Tensor& scores, int64_t count) {
  if (scores.numel() == 0) return s;
  return select_entries(s, PlainScope::active() && !s.valid.defined()
                               ? watched_call("interplay::places_of_top", scores, s.row, s.offsets, count)
                               : places_of_top(s, scores, count));
}

MultiHeadTargetAttentionImpl::MultiHeadTargetAttentionImpl(int64_t target_width, int64_t entry_width,
                                                           int64_t attention_dim, int64_t heads)
    : heads_(heads) {
  INTERPLAY_CHECK(attention_dim % heads == 0, "attention_dim: {} is no multiple of the {} heads", attention_dim, heads);
  query_ = register_module("query", xavier_linear(target_width, attention_dim, false));
  key_ = register_module("key", xavier_linear(entry_width, attention_dim, false));
  value_ = register_module("value", xavier_linear(entry_width, attention_dim, false));
  output_ = register_module("output", xavier_linear(attention_dim, entry_width, false));
}

at::Tensor MultiHeadTargetAttentionImpl::forward(const at::Tensor& target, const SequenceVectors& s) {
  const int64_t batch = s.batch(), n = s.vectors.size(0), width = key_->options.out_features(),
                of_head = width / heads_;
  const auto zero = at::zeros({batch, width}, target.options());
  if (n == 0) return row_linear(zero, output_);
  const auto q = row_linear(target, query_).index_select(0, s.row).view({n, heads_, of_head});
  const auto k = row_linear(s.vectors, key_).view({n, heads_, of_head});
  const auto scores = (q * k).sum(2) / std::sqrt(double(of_head));  // [N, H]
  std::vector<at::Tensor> weights;
  for (int64_t h = 0; h < heads_; ++h) weights.push_back(segment_softmax(scores.select(1, h), s));
  const auto weight = at::stack(weights, 1).unsqueeze(2);  // [N, H, 1]
  const auto weighed =
      (weight * row_linear(s.vectors, value_).view({n, heads_, of_head})).reshape({n, width});  // [N, A]
  return row_linear(zero.index_add(0, s.row, weighed), output_);
}

TORCH_LIBRARY_FRAGMENT(interplay, m) {
  m.def("segment_softmax(Tensor scores, Tensor row, Tensor offsets) -> Tensor",
        [](const at::Tensor& scores, const at::Tensor& row, const at::Tensor& offsets) {
          return segment_softmax_of(scores, {{}, row, offsets, {}, {}});
        });
  m.def("offsets_of(Tensor row, Tensor offsets) -> Tensor", &offsets_of);
  m.def("places_of_last(Tensor row, Tensor offsets, int count) -> Tensor",
        [](const at::Tensor& row, const at::Tensor& offsets, int64_t count) {
          return places_of_last({{}, row, offsets, {}, {}}, count);
        });
  m.def("places_of_top(Tensor scores, Tensor row, Tensor offsets, int count) -> Tensor",
        [](const at::Tensor& scores, const at::Tensor& row, const at::Tensor& offsets, int64_t count) {
          return places_of_top({{}, row, offsets, {}, {}}, scores, count);
        });
}

}  // namespace interplay::nn
