#include <interplay/nn/cin.h>

#include <ATen/ATen.h>

#include <interplay/base/error.h>
#include <interplay/nn/row_linear.h>
#include <interplay/nn/mlp.h>
#include <interplay/nn/plain_scope.h>

namespace interplay::nn {

CinImpl::CinImpl(int64_t fields, const CinOptions& options) : options_(options) {
  INTERPLAY_CHECK(!options.hidden.empty(), "cin_hidden: there is no layer; name one or more, or take the model dnn");
  int64_t before = fields;
  for (size_t k = 0; k < options.hidden.size(); ++k) {
    const bool halves = options.split_half && k + 1 < options.hidden.size();
    const int64_t maps = options.hidden[k];
    INTERPLAY_CHECK(!halves || maps % 2 == 0, "cin_hidden: layer {} has {} maps, which cannot be halved (split_half)",
                    k + 1, maps);
    layers_.push_back(register_module(fmt::format("layer{}", k), xavier_linear(fields * before, maps)));
    before = halves ? maps / 2 : maps;
    out_ += before;
  }
}

at::Tensor CinImpl::forward(const at::Tensor& x0) {
  const auto fields = x0.transpose(1, 2).contiguous();  // [B, D, F]: a 1x1 convolution is a linear layer then
  std::vector<at::Tensor> pooled;
  auto x = fields;
  for (size_t k = 0; k < layers_.size(); ++k) {
    const auto products = (fields.unsqueeze(3) * x.unsqueeze(2)).flatten(2);  // [B, D, F H]
    const auto& w = layers_[k]->weight;
    // Of three dimensions, whoever watches has no step for a linear layer.
    x = PlainScope::active() ? (products.unsqueeze(2) * w).sum(3) + layers_[k]->bias : row_linear(products, layers_[k]);
    if (options_.relu) x = x.relu();
    auto out = x;  // [B, D, H]
    if (options_.split_half && k + 1 < layers_.size()) {
      const int64_t half = x.size(2) / 2;
      out = x.narrow(2, half, half);
      x = x.narrow(2, 0, half);
    }
    pooled.push_back(out.sum(1));
  }
  return at::cat(pooled, 1);
}

}  // namespace interplay::nn
