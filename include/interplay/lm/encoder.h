#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include <torch/nn/module.h>
#include <torch/nn/modules/embedding.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/modules/normalization.h>
#include <torch/nn/pimpl.h>

#include <interplay/lm/roles.h>
#include <interplay/lm/tokenizer.h>
#include <interplay/lm/weights.h>
#include <interplay/nn/precision.h>

namespace interplay::lm {

/// Sizes of a BERT (Devlin et al. 2019, arXiv:1810.04805), as a `config.json` of Hugging Face's has them.
struct BertOptions {
  int64_t vocabulary = 30522, width = 768, layers = 12, heads = 12, hidden = 3072, positions = 512, token_types = 2;
  double layer_norm_eps = 1e-12;
  /// In train mode: share that is dropped of the embeddings, the attention weights and what both halves of a layer add,
  /// as BERT was trained. No file says it: whoever trains a model does.
  double dropout = 0;

  /// Throws Error(data) where the file is no BERT's, or one that differs from what Bert computes.
  static BertOptions load(const std::filesystem::path& config);
};

/// One layer: y = norm(x + attention(x)), then norm(y + W2 gelu(W1 y)); gelu by erf, normalisation after the sum.
class INTERPLAY_API BertLayerImpl : public torch::nn::Module {
 public:
  explicit BertLayerImpl(const BertOptions& options);
  /// x [B, L, D], `mask` of 0 and -inf [B, 1, 1, L] or undefined where every text is L long -> [B, L, D]
  at::Tensor forward(const at::Tensor& x, const at::Tensor& mask);

  torch::nn::Linear query_key_value{nullptr};  ///< [3 D, D], in this order
  torch::nn::Linear attention_output{nullptr}, up{nullptr}, down{nullptr};
  torch::nn::LayerNorm attention_norm{nullptr}, output_norm{nullptr};

 private:
  int64_t heads_;
  double dropout_;
};
TORCH_MODULE(BertLayer);

/// BERT without a head, every parameter trainable, in f32, under a PrecisionGuard for bf16 with factors of products
/// that are rounded, or (after `to(at::kBFloat16)`) bf16 throughout. Options of fewer layers than a file has make its
/// first ones. Thread safety: as torch::nn::Module.
class INTERPLAY_API BertImpl : public torch::nn::Module {
 public:
  explicit BertImpl(const BertOptions& options);

  /// Whether a file has the tensors of a Hugging Face BertModel in these sizes, before memory is taken for a model of
  /// them. Throws as load().
  static void check(const StoredWeights& weights, const BertOptions& options);
  /// Takes the weights of a Hugging Face BertModel (or of the `bert.` in one with a head). Throws Error(data) naming
  /// file and tensor where one is missing or has another shape or type.
  void load(const StoredWeights& weights);

  /// ids i64 [B, L], lengths i64 [B] (the first so many ids of a row count, at least 1) -> last hidden states [B, L,
  /// D]. What stands behind a row's length is not looked at, and its own states mean nothing.
  at::Tensor forward(const at::Tensor& ids, const at::Tensor& lengths);

  const BertOptions& options() const { return options_; }

 private:
  BertOptions options_;
  torch::nn::Embedding words_{nullptr}, positions_{nullptr}, types_{nullptr};
  torch::nn::LayerNorm norm_{nullptr};
  std::vector<BertLayer> layers_;
};
TORCH_MODULE(Bert);

struct EncoderOptions {
  nn::Precision precision = nn::Precision::fp32;
  /// Most tokens of a text, what frames it included; the end of a longer one is cut off. 0 = what the folder's
  /// sentence_bert_config.json says, else all positions that the model has.
  int64_t max_length = 0;
  int64_t batch_tokens = 4096;  ///< of a batch, padding included: bounds memory, changes nothing else
  std::string progress = "";    ///< title of the progress line; empty = none
  bool chat = false;            ///< of chat models: each text is a user\'s message in the model\'s frame
};

/// The encoder that a model is, by what find_model() found: SentenceEncoder for a BERT, DecoderEncoder for a llama,
/// TunedEncoder for a tuned one.
INTERPLAY_API std::unique_ptr<TextEncoder> load_encoder(const std::filesystem::path& model,
                                                        EncoderOptions options = {});

/// A sentence encoder (Reimers and Gurevych 2019, arXiv:1908.10084): BERT, mean over a text's tokens, length 1.
///
///     lm::SentenceEncoder encoder(lm::find_model("minilm-l6"));
///     at::Tensor vectors = encoder.encode(titles);                          // [N, 384]
///     at::Tensor cosines = vectors.matmul(vectors.t());                     // [N, N]
class INTERPLAY_API SentenceEncoder final : public TextEncoder {
 public:
  /// A folder with config.json, model.safetensors and tokenizer.json. Throws Error(data) naming what is wrong with it.
  explicit SentenceEncoder(const std::filesystem::path& folder, EncoderOptions options = {});
  ~SentenceEncoder() override;

  at::Tensor encode(std::span<const std::string> texts) override;
  int64_t width() const override;
  std::string identity() const override;

  const Tokenizer& tokenizer() const { return *tokenizer_; }
  TokenIds ids_of(std::string_view text) const override;  ///< framed, at most max_length()
  int64_t max_length() const { return options_.max_length; }
  Bert& model() { return model_; }

 private:
  std::filesystem::path folder_;
  EncoderOptions options_;
  std::unique_ptr<Tokenizer> tokenizer_;
  Bert model_{nullptr};
  uint64_t checksum_ = 0;
};

}  // namespace interplay::lm
