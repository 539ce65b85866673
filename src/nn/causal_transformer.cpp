#include <interplay/nn/causal_transformer.h>

#include <cmath>

#include <ATen/ATen.h>
#include <torch/nn/init.h>

#include <interplay/base/error.h>
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

at::Tensor CausalTransformerImpl::layer(const Layer& l, const at::Tensor& x, const at::Tensor& mask) {
  const int64_t B = x.size(0), T = x.size(1), E = x.size(2), H = options_.heads, D = E / H;
  const auto drop = [&](const at::Tensor& t) { return at::dropout(t, options_.dropout, is_training()); };
  const auto by_head = [&](const at::Tensor& t) { return t.reshape({B, T, H, D}).transpose(1, 2); };  // [B, H, T, D]
  const auto parts = row_linear(x, l.query_key_value).chunk(3, 2);
  const auto score = at::matmul(by_head(parts[0]), by_head(parts[1]).transpose(2, 3)) / std::sqrt(double(D));
  const auto share = drop((score + mask).softmax(3));  // [B, H, T, T]
  const auto read = at::matmul(share, by_head(parts[2])).transpose(1, 2).reshape({B, T, E});
  auto norm = l.attention_norm, out = l.output_norm;
  const auto y = norm(x + drop(row_linear(read, l.attention_output)));
  return out(y + drop(row_linear(drop(at::gelu(row_linear(y, l.up))), l.down)));
}

at::Tensor CausalTransformerImpl::states(const PaddedSequence& x) {
  const int64_t T = x.vectors.size(1);
  INTERPLAY_CHECK(T <= options_.positions, "a history of {} entries; positions: {}", T, options_.positions);
  // what is padded lies behind what is valid, where no valid entry looks
  const auto mask = at::full({T, T}, -1e30, x.vectors.options()).triu(1);
  auto h = norm_(x.vectors + positions_.narrow(0, 0, T));
  h = at::dropout(h, options_.dropout, is_training());
  for (const auto& l : layers_) h = layer(l, h, mask);
  return h;
}

at::Tensor CausalTransformerImpl::forward(const SequenceVectors& sequence) {
  const auto last = last_entries(sequence, options_.positions);
  if (last.vectors.size(0) == 0) return at::zeros({sequence.batch(), positions_.size(1)}, positions_.options());
  const auto padded = pad(last);
  return last_state(states(padded), padded.lengths);
}

}  // namespace interplay::nn
