#pragma once

#include <vector>

#include <torch/nn/module.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/modules/normalization.h>
#include <torch/nn/pimpl.h>

#include <interplay/base/options.h>
#include <interplay/nn/attention.h>

namespace interplay::nn {

struct CausalTransformerOptions {
  int64_t layers = 2, heads = 2, hidden = 128, positions = 100;
  double dropout = 0;
  double layer_norm_eps = 1e-12;
  void visit(auto&& field) {
    field("layers", layers, "of self-attention", Range{1, 64});
    field("heads", heads, "of each layer; they divide its width", Range{1, 64});
    field("inner", hidden, "width of the layer within a layer", Range{1, 65536});
    field("positions", positions, "entries that are told apart by their place; of longer histories the last ones",
          Range{1, 65536});
    field("attention_dropout", dropout, "of attention, of what a layer adds, and of what comes in", Range{0, 0.99});
  }
};

/// Self-attention over a history, each entry seeing itself and those before it, as SASRec has it (Kang and McAuley
/// 2018, arXiv:1808.09781) in the form of BERT's layers: y = norm(x + attention(x)), norm(y + W2 gelu(W1 y)). Entries
/// begin as x + p of their place, normalised. f32 entries [N, E] -> the last entry's state, f32 [B, E]; of a row
/// without entries zero. Thread safety: as torch::nn::Module.
class INTERPLAY_API CausalTransformerImpl : public torch::nn::Module {
 public:
  /// Error where E is no multiple of the heads.
  CausalTransformerImpl(int64_t width, const CausalTransformerOptions& options);
  at::Tensor forward(const SequenceVectors& sequence);
  at::Tensor states(const PaddedSequence& x);  ///< f32 [B, T, E]: of every entry; T may not exceed `positions`

 private:
  struct Layer {
    torch::nn::Linear query_key_value{nullptr}, attention_output{nullptr}, up{nullptr}, down{nullptr};
    torch::nn::LayerNorm attention_norm{nullptr}, output_norm{nullptr};
  };
  /// Entries x f32 [B, T, E] as `asking` f32 [B, Q, E], x itself or some of it, reads them; mask is added to [B, H, Q,
  /// T].
  at::Tensor layer(const Layer& l, const at::Tensor& x, const at::Tensor& asking, const at::Tensor& mask);
  at::Tensor before_last_layer(const at::Tensor& vectors, const at::Tensor& mask);
  at::Tensor causal_mask(const at::Tensor& vectors) const;
  at::Tensor dropped(const at::Tensor& x) const;
  CausalTransformerOptions options_;
  at::Tensor positions_;  // f32 [positions, E]
  torch::nn::LayerNorm norm_{nullptr};
  std::vector<Layer> layers_;
};
TORCH_MODULE(CausalTransformer);

}  // namespace interplay::nn
