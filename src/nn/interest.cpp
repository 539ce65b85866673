#include <interplay/nn/interest.h>

#include <cmath>

#include <ATen/ATen.h>
#include <torch/nn/init.h>

#include <interplay/nn/row_linear.h>

namespace interplay::nn {

AuGruImpl::AuGruImpl(int64_t in, int64_t hidden) : hidden_(hidden) {
  const double bound = 1 / std::sqrt(double(hidden));
  const auto drawn = [&](const char* name, at::IntArrayRef shape) {
    return register_parameter(name, at::empty(shape).uniform_(-bound, bound));
  };
  input_weight_ = drawn("input_weight", {3 * hidden, in});
  input_bias_ = drawn("input_bias", {3 * hidden});
  state_weight_ = drawn("state_weight", {3 * hidden, hidden});
  state_bias_ = drawn("state_bias", {3 * hidden});
}

at::Tensor AuGruImpl::forward(const at::Tensor& x, const at::Tensor& attention, const at::Tensor& valid) {
  auto h = at::zeros({x.size(0), hidden_}, x.options());
  const auto of_input = row_linear(x, input_weight_, input_bias_);  // [B, T, 3 H]
  const auto gate = (attention * valid).unsqueeze(2);
  for (int64_t t = 0; t < x.size(1); ++t) {
    const auto i = of_input.select(1, t).chunk(3, 1), s = row_linear(h, state_weight_, state_bias_).chunk(3, 1);
    const auto u = (i[0] + s[0]).sigmoid() * gate.select(1, t), r = (i[1] + s[1]).sigmoid();
    h = h + u * ((i[2] + r * s[2]).tanh() - h);
  }
  return h;
}

at::Tensor gru_states(const torch::nn::GRU& gru, const at::Tensor& x) {
  const auto w = gru->parameters();  // of each layer those of the input, of the state, and their biases
  auto in = x;
  for (size_t layer = 0; layer + 4 <= w.size(); layer += 4) {
    auto h = at::zeros({x.size(0), w[layer + 1].size(1)}, x.options());
    const auto of_input = row_linear(in, w[layer], w[layer + 2]);  // [B, T, 3 H]
    std::vector<at::Tensor> states;
    for (int64_t t = 0; t < x.size(1); ++t) {
      const auto i = of_input.select(1, t).chunk(3, 1), s = row_linear(h, w[layer + 1], w[layer + 3]).chunk(3, 1);
      const auto r = (i[0] + s[0]).sigmoid(), z = (i[1] + s[1]).sigmoid(), n = (i[2] + r * s[2]).tanh();
      h = n + z * (h - n);
      states.push_back(h);
    }
    in = at::stack(states, 1);
  }
  return in;
}

InterestsImpl::InterestsImpl(int64_t target_width, int64_t entry_width)
    : gru_(register_module("gru", torch::nn::GRU(torch::nn::GRUOptions(entry_width, entry_width).batch_first(true)))),
      augru_(register_module("augru", AuGru(entry_width, entry_width))) {
  auto w = at::empty({entry_width, target_width});
  target_width == entry_width ? torch::nn::init::eye_(w) : torch::nn::init::xavier_normal_(w);
  weight_ = register_parameter("attention", w);
}

InterestsImpl::Result InterestsImpl::forward(const at::Tensor& target, const SequenceVectors& history) {
  if (history.vectors.size(0) == 0)
    return {at::zeros({history.batch(), history.vectors.size(1)}, target.options()), history.vectors,
            history.vectors.select(1, 0)};
  const auto padded = pad(history);
  const auto states = gru_states(gru_, padded.vectors);  // [B, T, E]; padding lies behind what is valid
  const auto score = (states * row_linear(target, weight_).unsqueeze(1)).sum(2);
  const auto attention = score.masked_fill(~padded.valid, -1e30).softmax(1);  // [B, T]
  const auto place = padded.valid.flatten().nonzero().squeeze(1);             // i64 [N]: of entries in B T
  return {augru_(states, attention, padded.valid), states.flatten(0, 1).index_select(0, place),
          attention.flatten().index_select(0, place)};
}

NextEntryImpl::NextEntryImpl(int64_t width, const std::vector<int64_t>& hidden, const std::string& activation)
    : mlp_(register_module("mlp", Mlp(2 * width, MlpOptions{.hidden = hidden, .activation = activation}))) {}

NextEntryImpl::Result NextEntryImpl::forward(const at::Tensor& states, const SequenceVectors& history,
                                             const at::Tensor& negative) {
  const auto row = history.row;
  const int64_t n = row.size(0);
  if (n < 2) return {states.new_zeros({0}), row.slice(0, 0, 0)};
  const auto at = (row.slice(0, 0, n - 1) == row.slice(0, 1)).nonzero().squeeze(1);  // i64 [P]
  const auto h = states.index_select(0, at);
  const auto score = [&](const at::Tensor& next) {
    return mlp_(at::cat({h, next.index_select(0, at + 1)}, 1)).squeeze(1);
  };
  const auto came = score(history.vectors), other = score(negative);
  const auto rows = row.index_select(0, at);
  return {at::cat({at::softplus(-came), at::softplus(other)}), at::cat({rows, rows})};
}

}  // namespace interplay::nn
