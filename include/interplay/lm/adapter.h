#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>

#include <interplay/base/api.h>
#include <interplay/base/options.h>

namespace interplay::lm {

/// Low-rank adapters (LoRA, Hu et al. 2021, arXiv:2106.09685) as one declares them.
struct AdapterOptions {
  int64_t rank = 8;
  double alpha = 16;
  double dropout = 0;
  int64_t experts = 1;
  std::vector<std::string> targets = {"q_proj", "v_proj"};

  void visit(auto&& field) {
    field("rank", rank, "inner width r of an adapter", Range{1, 65536});
    field("alpha", alpha, "adapters are scaled by alpha / r");
    field("dropout", dropout, "share of an adapter's inputs that is dropped while it is trained", Range{0, 0.99});
    field("experts", experts, "adapters side by side, which a call weighs", Range{1, 1024});
    field("targets", targets, "projections that have an adapter",
          OneOf{{"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}});
  }
  double scale() const { return alpha / double(rank); }
};

/// What a call gives one adapter beside its input: undefined = ones.
struct AdapterMix {
  at::Tensor core = {};     ///< f32 [B, r, r], a core for each sample, shared by its tokens and by all experts (CFLoRA)
  at::Tensor experts = {};  ///< f32 [B, E], what each expert counts for a sample (TMoLE); without it each counts 1 / E
};

/// What a call gives the adapters of a model, by the name of the projection, as "layers.3.self_attn.q_proj".
struct AdapterCall {
  std::map<std::string, AdapterMix, std::less<>> mixes;
};

/// A frozen linear map without bias and what adapters add to it:
///
///     y = W x + alpha / r * sum over e of w_e B_e G^T A_e x        (as rows: ((x A_e^T) G) B_e^T)
///
/// A starts as Kaiming-uniform(a = sqrt 5) draws it, B as zeros, so that at first nothing is added. W may hold several
/// projections that read the same x, one below the other, so that they are one product: each is an `Output` with an
/// adapter of its own, or none.
///
/// W is a buffer, A and B (f32) are the only parameters; gradients flow to them and to x. Thread safety: as
/// torch::nn::Module; concurrent forward() under NoGradGuard is allowed.
class INTERPLAY_API AdapterLinearImpl : public torch::nn::Module {
 public:
  struct Output {
    std::string name;  ///< of the projection in its model
    int64_t width = 0;
  };
  struct Adapter {
    int64_t output = 0, first = 0, width = 0;  ///< which output it is of, and its rows of W
    at::Tensor a;                              ///< f32 [E r, in]
    at::Tensor b;                              ///< f32 [width, E r]
  };

  AdapterLinearImpl(const at::Tensor& weight, std::vector<Output> outputs);  ///< f32 or bf16 [sum of widths, in]

  /// Gives an output an adapter, drawn from `seed`. All outputs share rank, alpha, dropout and experts.
  void adapt(const std::string& output, const AdapterOptions& options, uint64_t seed);
  void remove_adapters();

  /// x [N, in] of W's type -> [N, sum of widths]. `sample` i64 [N] says whose core and experts a row has; only read
  /// where `call` has a mix for one of the outputs.
  at::Tensor forward(const at::Tensor& x, const AdapterCall* call = nullptr, const at::Tensor& sample = {});

  /// Adds what the adapters add to W, in f32, and removes them. Experts count 1 / E each.
  void merge();

  const at::Tensor& weight() const { return weight_; }
  const std::vector<Output>& outputs() const { return outputs_; }
  const std::vector<Adapter>& adapters() const { return adapters_; }

 private:
  at::Tensor inner(const at::Tensor& x, const Adapter& adapter, const AdapterCall* call, const at::Tensor& sample);

  at::Tensor weight_;
  std::vector<Output> outputs_;
  std::vector<Adapter> adapters_;
  AdapterOptions options_;
};
TORCH_MODULE(AdapterLinear);

/// Adapters as a file: one safetensors file with `<output>.lora_A.weight` and `<output>.lora_B.weight` of each adapted
/// output, under the names that PEFT gives them, and in its metadata the options and the checksum of the base model.
struct INTERPLAY_API AdapterFile {
  AdapterOptions options;
  std::string base;                           ///< checksum of the base model's weights
  std::map<std::string, at::Tensor> weights;  ///< by name within the file

  void save(const std::filesystem::path& file) const;
  static AdapterFile load(const std::filesystem::path& file);  ///< throws Error(data) naming file and entry
  static std::string name_a(const std::string& output);
  static std::string name_b(const std::string& output);
};

}  // namespace interplay::lm
