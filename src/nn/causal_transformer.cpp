#include <interplay/nn/causal_transformer.h>

#include <cmath>

#include <ATen/ATen.h>
#include <torch/nn/init.h>

#include <interplay/base/error.h>
#include <interplay/nn/dropout.h>
#include <interplay/nn/last_state.h>
#include <interplay/nn/row_linear.h>

namespace interplay::nn {

CausalTransformerImpl::CausalTransformerImpl(int64_t width, const CausalTransformerOptions& o) : options_(o) {
  INTERPLAY_CHECK(width % o.heads == 0, "heads: {} do not divide a history's entries of {} numbers", o.heads, width);
  positions_ = register_parameter("positions", at::empty({o.positions, width}));
  torch::nn::init::normal_(positions_, 0, 0.02);
  const auto norm = [&](const std::string& name) {
    return register_module(name, torch::nn::LayerNorm(torch::nn::LayerNormOptions({width}).eps(o.layer_norm_eps)));
  };
  norm_ = norm("norm");
  for (int64_t i = 0; i < o.layers; ++i) {
    const auto linear = [&](const char* name, int64_t in, int64_t out) {
      return register_module(fmt::format("{}_{}", name, i), xavier_linear(in, out));
    };
    Layer l;
    l.query_key_value = linear("query_key_value", width, 3 * width);
    l.attention_output = linear("attention_output", width, width);
    l.attention_norm = norm(fmt::format("attention_norm_{}", i));
    l.up = linear("up", width, o.hidden);
    l.down = linear("down", o.hidden, width);
    l.output_norm = norm(fmt::format("output_norm_{}", i));
    layers_.push_back(l);
  }
}

at::Tensor CausalTransformerImpl::dropped(const at::Tensor& x) const {
  return nn::dropout(x, options_.dropout, is_training());
}

at::Tensor CausalTransformerImpl::layer(const Layer& l, const at::Tensor& x, const at::Tensor& asking,
                                        const at::Tensor& mask) {
  const int64_t B = x.size(0), T = x.size(1), Q = asking.size(1), E = x.size(2), H = options_.heads, D = E / H;
  const auto part = [&](const at::Tensor& of, int64_t first, int64_t count) {  // of Linear(E, 3 E)
    return row_linear(of, l.query_key_value->weight.narrow(0, first * E, count * E),
                      l.query_key_value->bias.narrow(0, first * E, count * E));
  };
  const auto by_head = [&](const at::Tensor& t, int64_t n) { return t.reshape({B, n, H, D}).transpose(1, 2); };
  const auto all = asking.is_same(x) ? part(x, 0, 3).chunk(3, 2) : part(x, 1, 2).chunk(2, 2);
  const auto query = asking.is_same(x) ? all[0] : part(asking, 0, 1);
  const auto key = by_head(all[all.size() - 2], T), value = by_head(all[all.size() - 1], T);  // [B, H, T, D]
  const auto score = at::matmul(by_head(query, Q), key.transpose(2, 3)) / std::sqrt(double(D));
  const auto share = dropped((score + mask).softmax(3));  // [B, H, Q, T]
  const auto read = at::matmul(share, value).transpose(1, 2).reshape({B, Q, E});
  auto norm = l.attention_norm, out = l.output_norm;
  const auto y = norm(asking + dropped(row_linear(read, l.attention_output)));
  return out(y + dropped(row_linear(dropped(at::gelu(row_linear(y, l.up))), l.down)));
}

at::Tensor CausalTransformerImpl::before_last_layer(const at::Tensor& vectors, const at::Tensor& mask) {
  auto h = dropped(norm_(vectors + positions_.narrow(0, 0, vectors.size(1))));
  for (size_t l = 0; l + 1 < layers_.size(); ++l) h = layer(layers_[l], h, h, mask);
  return h;
}

at::Tensor CausalTransformerImpl::causal_mask(const at::Tensor& vectors) const {
  const int64_t T = vectors.size(1);
  INTERPLAY_CHECK(T <= options_.positions, "a history of {} entries; positions: {}", T, options_.positions);
  // what is padded lies behind what is valid, where no valid entry looks
  return at::full({T, T}, -1e30, vectors.options()).triu(1);
}

at::Tensor CausalTransformerImpl::states(const PaddedSequence& x) {
  const auto mask = causal_mask(x.vectors);
  const auto h = before_last_layer(x.vectors, mask);
  return layer(layers_.back(), h, h, mask);
}

at::Tensor CausalTransformerImpl::forward(const SequenceVectors& sequence) {
  const auto last = last_entries(sequence, options_.positions);
  if (last.vectors.size(0) == 0) return at::zeros({sequence.batch(), positions_.size(1)}, positions_.options());
  const auto padded = pad(last);
  // Of the last layer one entry is read, the last, which sees all that is valid: the others are not made.
  const auto h = before_last_layer(padded.vectors, causal_mask(padded.vectors));
  const auto hidden =
      at::zeros_like(padded.valid, h.options()).masked_fill(~padded.valid, -1e30).view({h.size(0), 1, 1, -1});
  const auto asking = last_state(h, padded.lengths).unsqueeze(1);  // [B, 1, E]
  return layer(layers_.back(), h, asking, hidden).squeeze(1) * padded.lengths.gt(0).unsqueeze(1);
}

}  // namespace interplay::nn
