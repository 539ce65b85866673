#include "systems/rellax/core_gates.h"

#include <algorithm>
#include <cmath>

#include <ATen/ATen.h>
#include <torch/nn/init.h>

#include <interplay/base/error.h>

namespace interplay {

CoreGatesImpl::CoreGatesImpl(const std::vector<std::string>& projections, int64_t hidden, int64_t rank,
                             const CoreOptions& options)
    : options_(options), rank_(rank) {
  INTERPLAY_CHECK(options_.core != "block" || rank % options_.blocks == 0,
                  "model.blocks: {} experts cannot share {} ranks alike; expected a divisor of model.rank",
                  options_.blocks, rank);
  const int64_t inner = 2 * rank * rank;
  const int64_t out = options_.core == "full" ? rank * rank : options_.core == "diag" ? rank : options_.blocks;
  for (const auto& projection : projections) {
    std::string name = projection;
    std::replace(name.begin(), name.end(), '.', '/');  // torch's names of modules have no dots
    Gate gate{projection};
    gate.norm = register_module(name + "/norm", torch::nn::LayerNorm(torch::nn::LayerNormOptions({hidden})));
    gate.up = register_module(name + "/up", torch::nn::Linear(hidden, inner));
    gate.out = register_module(name + "/out", torch::nn::Linear(inner, out));
    const at::NoGradGuard no_grad;
    for (auto* const linear : {gate.up.get(), gate.out.get()}) {
      torch::nn::init::kaiming_uniform_(linear->weight, std::sqrt(5.0));
      linear->bias.zero_();
    }
    if (options_.start == "identity") gate.out->weight.zero_();
    gates_.push_back(std::move(gate));
  }
}

at::Tensor CoreGatesImpl::core(const at::Tensor& numbers) const {
  const int64_t rows = numbers.size(0);
  const bool near_identity = options_.start == "identity";
  if (options_.core == "full") {
    const auto core = numbers.view({rows, rank_, rank_});
    return near_identity ? core + at::eye(rank_, core.options()) : core;
  }
  const auto gates = options_.core == "diag" ? numbers : numbers.repeat_interleave(rank_ / options_.blocks, 1);
  return at::diag_embed(near_identity ? gates + 1 : gates);
}

lm::AdapterCall CoreGatesImpl::forward(const at::Tensor& h) {
  lm::AdapterCall call;
  if (options_.core == "identity") return call;
  for (auto& gate : gates_) {
    const auto numbers = gate.out(at::gelu(gate.up(gate.norm(h))));
    call.mixes[gate.projection].core = core(numbers);
  }
  return call;
}

}  // namespace interplay
