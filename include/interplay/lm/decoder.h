#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>

#include <interplay/lm/adapter.h>
#include <interplay/nn/precision.h>

namespace interplay::lm {

/// A batch of sequences, end to end and without padding: sequence b has rows offsets[b] .. offsets[b + 1].
struct INTERPLAY_API TokenBatch {
  static constexpr int64_t kVector = -1;  ///< in a sequence of DecoderImpl::batch(): a vector stands here, no token

  at::Tensor ids;                ///< i64 [N]
  std::vector<int64_t> offsets;  ///< [B + 1]
  at::Tensor embeddings;         ///< f32 [N, D] in place of `ids`, as soft prompts need; undefined otherwise

  /// Sequences of token ids; none may be empty.
  static TokenBatch of(const std::vector<std::vector<int64_t>>& sequences);
  /// ids i64 [B, T] and what of it is real, bool [B, T]: padding may stand anywhere, and is left out.
  static TokenBatch from_padded(const at::Tensor& ids, const at::Tensor& mask);

  int64_t sequences() const { return int64_t(offsets.size()) - 1; }
  int64_t tokens() const { return offsets.back(); }
  at::Tensor last_rows() const;  ///< i64 [B]: the row of each sequence's last token
  at::Tensor sample() const;     ///< i64 [N]: the sequence of each row
};

/// Keys (rotated) and values of tokens that a decoder has read, sequence by sequence, in f32: 8 D_kv bytes a layer and
/// token. Copies share them until one is extended.
class INTERPLAY_API KvCache {
 public:
  explicit KvCache(int64_t sequences = 1) : pasts_(size_t(sequences)) {}
  int64_t sequences() const { return int64_t(pasts_.size()); }
  int64_t length(int64_t sequence) const { return pasts_[size_t(sequence)].length; }
  /// As many sequences, each of which goes on from this object's only one.
  KvCache fork(int64_t sequences) const;
  void append(const KvCache& more) { pasts_.insert(pasts_.end(), more.pasts_.begin(), more.pasts_.end()); }
  void remove(int64_t sequence) { pasts_.erase(pasts_.begin() + sequence); }

 private:
  friend class DecoderImpl;
  struct Past {
    at::Tensor memory;  // f32 [layers, 2, kv_heads, capacity, head_dim]
    int64_t length = 0;
  };
  std::vector<Past> pasts_;
};

/// How a decoder reads a batch.
struct DecoderCall {
  bool causal = true;             ///< false: every token sees all of its sequence
  bool checkpoint = false;        ///< keep only layer inputs for the backward pass, and run each layer once more in it
  const KvCache* past = nullptr;  ///< what each sequence goes on from, as a constant; of one sequence: all share it
  at::Tensor rows = {};           ///< i64 [M]: the rows whose hidden state is wanted; undefined = all
  const AdapterCall* adapters = nullptr;  ///< cores and experts by sample; copied
};

/// Sizes and constants of a llama-family decoder.
struct DecoderConfig {
  int64_t layers = 0, width = 0, heads = 0, kv_heads = 0, head_dim = 0, hidden = 0, vocabulary = 0, context = 0;
  double rope_base = 10000, norm_eps = 1e-5;
};

/// A decoder of the llama family (Touvron et al. 2023, arXiv:2302.13971): RMSNorm, rotary positions, grouped-query
/// attention, SwiGLU; the output head may be the embedding table. Its weights are frozen, in f32 or bf16; quantised
/// ones are expanded when they are read (SmolLM2-135M: 538 MB, 269 MB). The residual stream is f32 in either precision.
/// What can be trained are adapters on the projections of its layers, which are named as Hugging Face names them, as
/// "layers.3.self_attn.q_proj", whichever file they came from.
///
/// Sequences of a batch lie end to end, so that no product is computed for padding; positions count from 0, or from the
/// end of the past. Ids, lengths and shapes are checked: Error names what was found.
///
/// Thread safety: as torch::nn::Module; concurrent forward() under NoGradGuard is allowed.
///
///     lm::Decoder decoder = lm::load_decoder("SmolLM2-135M-Instruct.Q4_1.gguf", nn::Precision::fp32);
///     const auto batch = lm::TokenBatch::of({{1, 4093, 198}, {1, 28}});
///     const auto hidden = decoder->forward(batch, {.rows = batch.last_rows()});   // f32 [2, 576]
///     const auto yes_no = decoder->logits(hidden, at::tensor({10539, 5230}));     // f32 [2, 2]
class INTERPLAY_API DecoderImpl : public torch::nn::Module {
 public:
  struct Layer {
    at::Tensor attention_norm, ffn_norm;  ///< f32 [D]
    AdapterLinear qkv{nullptr}, output{nullptr}, gate_up{nullptr}, down{nullptr};
  };

  /// `embedding` [V, D] and `head` [V, D], which may be the same tensor, and the projections have one type, f32 or
  /// bf16.
  DecoderImpl(const DecoderConfig& config, const at::Tensor& embedding, std::vector<Layer> layers,
              const at::Tensor& final_norm, const at::Tensor& head, std::string checksum);

  /// The hidden states after the final norm: f32 [N, D], or [M, D] where the call names rows.
  at::Tensor forward(const TokenBatch& batch, const DecoderCall& call = {});
  /// The same without a graph; what was read is appended to `cache`, which has a sequence for each of the batch.
  at::Tensor extend(KvCache& cache, const TokenBatch& batch, const at::Tensor& rows = {});

  /// Logits of what may follow one more token of each sequence, which is appended to `cache` as extend() does it:
  /// ids [B] -> f32 [B, V]. Every number is summed in one order, so that a sequence's logits are the same, bit for bit,
  /// whichever others are there; sums are of f32 numbers, also where weights are held in bf16.
  at::Tensor step(KvCache& cache, std::span<const int64_t> ids);
  /// Lets step() multiply by the quantised weights of the GGUF file that this decoder was loaded from: the same numbers
  /// in a fraction of the memory that a step has to read. Other models stay as they are.
  void read_packed(const std::filesystem::path& model);

  /// Sequences some of whose tokens are vectors (soft prompts): vectors f32 [M, D] stand where sequences say kVector,
  /// in order, and gradients flow to them. Undefined: as TokenBatch::of(). Error where numbers or widths do not fit.
  TokenBatch batch(const std::vector<std::vector<int64_t>>& sequences, const at::Tensor& vectors) const;

  at::Tensor embed(const at::Tensor& ids) const;                                ///< i64 [N] -> f32 [N, D]
  at::Tensor logits(const at::Tensor& hidden) const;                            ///< f32 [M, D] -> f32 [M, V]
  at::Tensor logits(const at::Tensor& hidden, const at::Tensor& tokens) const;  ///< tokens i64 [A] -> f32 [M, A]

  /// Gives every layer's target projections an adapter; those of layers below `first_layer` none.
  void adapt(const AdapterOptions& options, uint64_t seed, int64_t first_layer = 0);
  /// Into the weights, as AdapterLinear does. `checksum`: of what they are then, where checksum() is to say it.
  void merge_adapters(const std::string& checksum = "");
  void remove_adapters();
  /// Whole or absent. Only the adapters are written.
  void save_adapters(const std::filesystem::path& file) const;
  /// Takes the place of adapters that are there. Throws Error(data) where the file is of another base model, or does
  /// not hold exactly the adapters that its own targets ask for, naming file and entry.
  void load_adapters(const std::filesystem::path& file);
  /// Every A and B, by the name it has in such a file; the module's own, not copies.
  std::map<std::string, at::Tensor> adapter_weights() const;
  /// Projections that have an adapter, by name, in the order of their names.
  std::vector<std::string> adapted() const;
  const AdapterOptions* adapter_options() const { return adapters_ ? &*adapters_ : nullptr; }

  const DecoderConfig& config() const { return config_; }
  at::ScalarType type() const { return embedding_.scalar_type(); }
  /// Of the file the weights were read from (model_checksum()), as 16 hexadecimal digits.
  const std::string& checksum() const { return checksum_; }

 private:
  struct Run;
  struct Checkpoint;
  struct Packed;
  void make_room(KvCache& cache, const std::vector<int64_t>& tokens) const;
  std::pair<at::Tensor, at::Tensor> layer(int64_t index, const at::Tensor& h, const at::Tensor& a, const Run& run);
  at::Tensor read(const TokenBatch& batch, const DecoderCall& call, KvCache* extend);
  std::vector<AdapterLinear> linears(int64_t index) const;
  void check_ids(const at::Tensor& ids) const;

  DecoderConfig config_;
  at::Tensor embedding_, final_norm_, head_;
  std::vector<Layer> layers_;
  std::string checksum_;
  std::optional<AdapterOptions> adapters_;
  std::shared_ptr<const Packed> packed_;
};
TORCH_MODULE(Decoder);

/// A decoder from a GGUF file (architecture llama), or from a folder with Hugging Face's config.json (model_type llama)
/// and model.safetensors. Other architectures, biases and scaled rotary positions are refused by name. Every tensor's
/// shape is held against the metadata: Error(data) names file and tensor. Of a tuned model (TunedFolder) the adapters,
/// as the task that is named weighs them, are merged into the weights.
INTERPLAY_API Decoder load_decoder(const std::filesystem::path& model, nn::Precision precision);

}  // namespace interplay::lm
