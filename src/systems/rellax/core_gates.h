#pragma once

#include <string>
#include <vector>

#include <torch/nn/module.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/modules/normalization.h>
#include <torch/nn/pimpl.h>

#include <interplay/base/api.h>
#include <interplay/base/options.h>
#include <interplay/lm/adapter.h>

namespace interplay {

struct CoreOptions {
  std::string core = "full", start = "identity";
  int64_t blocks = 2;
  void visit(auto&& field) {
    field("core", core,
          "what a row's core may be: identity: the adapter as it is (LoRA); diag: every rank has a gate; block: ranks "
          "have a gate together, as experts of a mixture; full: any matrix",
          OneOf{{"identity", "diag", "block", "full"}});
    field("blocks", blocks, "experts of core: block", Range{1, 65536});
    field("core_start", start,
          "identity: cores begin as the identity, so that the adapters say what they said; random: as the authors' do",
          OneOf{{"identity", "random"}});
  }
};

/// Cores of low-rank adapters from what a CTR model knows of a row (CFLoRA of ReLLaX, Lin et al. 2025): for each
/// adapted projection
///
///     G = I + reshape(W2 gelu(W1 norm(h) + b1) + b2)      dW = alpha / r B G^T A
///
/// W1 [2 r^2, H] and W2 [r^2, 2 r^2]; of core `diag` W2 gives the r numbers of a diagonal, of `block` one for every
/// expert's ranks. Linear maps start as Kaiming-uniform(a = sqrt 5) draws them, with biases of 0, but W2 as zeros, so
/// that G is the identity; with start `random` W2 is drawn too and there is no I, as in the authors' code.
class INTERPLAY_API CoreGatesImpl : public torch::nn::Module {
 public:
  /// Projections by their names in the decoder, as "layers.3.self_attn.q_proj". Throws Error where the rank is no
  /// multiple of the blocks.
  CoreGatesImpl(const std::vector<std::string>& projections, int64_t hidden, int64_t rank, const CoreOptions& options);
  /// h f32 [B, H] -> a core f32 [B, r, r] for each projection
  lm::AdapterCall forward(const at::Tensor& h);

 private:
  struct Gate {
    std::string projection;
    torch::nn::LayerNorm norm{nullptr};
    torch::nn::Linear up{nullptr}, out{nullptr};
  };
  at::Tensor core(const at::Tensor& numbers) const;

  std::vector<Gate> gates_;
  CoreOptions options_;
  int64_t rank_;
};
TORCH_MODULE(CoreGates);

}  // namespace interplay
