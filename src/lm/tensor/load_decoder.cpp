#include <functional>

#include <ATen/ATen.h>

#include <interplay/base/error.h>
#include <interplay/lm/decoder.h>
#include <interplay/lm/gguf.h>
#include <interplay/lm/model_files.h>
#include <interplay/lm/tuned_decoder.h>
#include <interplay/lm/weights.h>

#include "lm/json_file.h"
#include "lm/tensor/packed.h"

namespace interplay::lm {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

/// Where a decoder's weights come from. Names are Hugging Face's, without their "model.".
class Source {
 public:
  virtual ~Source() = default;
  virtual DecoderConfig config() const = 0;
  virtual bool has(const std::string& name) const = 0;
  virtual at::Tensor read(const std::string& name, at::IntArrayRef shape, at::ScalarType type) const = 0;

 protected:
  /// What must hold whatever a file says. `place` of a number by its name in the file.
  static void check(const DecoderConfig& c, const std::string& file) {
    constexpr int64_t kMost = 1 << 24;
    const auto size = [&](const char* what, int64_t found) {
      INTERPLAY_CHECK_DATA(found >= 1 && found <= kMost, "{}: {} is {}; expected 1 to {}", file, what, found, kMost);
    };
    size("the number of layers", c.layers), size("the width", c.width), size("the number of heads", c.heads);
    size("the number of key-value heads", c.kv_heads), size("the width of a head", c.head_dim);
    size("the width of the hidden layer", c.hidden), size("the number of tokens", c.vocabulary);
    size("the context length", c.context);
    INTERPLAY_CHECK_DATA(c.heads % c.kv_heads == 0, "{}: {} heads share {} key-value heads; expected a multiple", file,
                         c.heads, c.kv_heads);
    INTERPLAY_CHECK_DATA(c.head_dim % 2 == 0, "{}: heads of width {}; rotary positions need an even one", file,
                         c.head_dim);
    INTERPLAY_CHECK_DATA(c.rope_base > 1 && c.rope_base < 1e12, "{}: a rotary base of {}; expected above 1", file,
                         c.rope_base);
    INTERPLAY_CHECK_DATA(c.norm_eps > 0 && c.norm_eps < 1, "{}: a norm's epsilon of {}; expected 0 < epsilon < 1", file,
                         c.norm_eps);
  }
};

class GgufSource final : public Source {
 public:
  explicit GgufSource(const fs::path& file) : file_(file) {
    const std::string name = file.string(), architecture(file_.text("general.architecture"));
    INTERPLAY_CHECK_DATA(architecture == "llama",
                         "{}: architecture '{}'; decoders of the architecture 'llama' are read", name, architecture);
    config_.layers = integer("block_count"), config_.width = integer("embedding_length");
    config_.heads = integer("attention.head_count");
    config_.kv_heads = optional("attention.head_count_kv", config_.heads);
    INTERPLAY_CHECK_DATA(config_.heads > 0, "{}: llama.attention.head_count is {}", name, config_.heads);
    config_.head_dim = optional("attention.key_length", config_.width / config_.heads);
    config_.hidden = integer("feed_forward_length"), config_.context = integer("context_length");
    config_.rope_base = file_.has(key("rope.freq_base")) ? file_.number(key("rope.freq_base")) : 10000;
    config_.norm_eps = file_.number(key("attention.layer_norm_rms_epsilon"));
    const auto shape = file_.tensor("token_embd.weight").shape;
    INTERPLAY_CHECK_DATA(shape.size() == 2, "{}: tensor 'token_embd.weight' has {} dimensions; expected 2", name,
                         shape.size());
    config_.vocabulary = shape[0];
    check(config_, name);
    const int64_t rotated = optional("rope.dimension_count", config_.head_dim);
    INTERPLAY_CHECK_DATA(rotated == config_.head_dim, "{}: {} of {} numbers of a head are rotated; expected all", name,
                         rotated, config_.head_dim);
    INTERPLAY_CHECK_DATA(optional("attention.value_length", config_.head_dim) == config_.head_dim,
                         "{}: values are of another width than keys; expected the same", name);
    INTERPLAY_CHECK_DATA(optional("expert_count", 0) == 0, "{}: a mixture of experts, which is not read", name);
    const bool scaled = (file_.has(key("rope.scaling.type")) && file_.text(key("rope.scaling.type")) != "none") ||
                        file_.has_tensor("rope_freqs.weight");
    INTERPLAY_CHECK_DATA(!scaled, "{}: scaled rotary positions, which are not read", name);
    for (const auto& [tensor, about] : file_.tensors())
      INTERPLAY_CHECK_DATA(!tensor.ends_with(".bias"), "{}: tensor '{}': biases are not read", name, tensor);
  }

  DecoderConfig config() const override { return config_; }
  bool has(const std::string& name) const override { return file_.has_tensor(gguf_name(name)); }
  at::Tensor read(const std::string& name, at::IntArrayRef shape, at::ScalarType type) const override {
    const std::string tensor = gguf_name(name);
    const auto& found = file_.tensor(tensor).shape;
    INTERPLAY_CHECK_DATA(at::IntArrayRef(found) == shape,
                         "{}: tensor '{}' has shape [{}]; the model's sizes ask for [{}]", file_.path().string(),
                         tensor, fmt::join(found, ", "), fmt::join(shape, ", "));
    auto w = to_tensor(file_, tensor, type);
    if (is_rotated(name)) {
      const int64_t d = config_.head_dim;
      w = w.view({-1, d / 2, 2, w.size(1)}).transpose(1, 2).reshape(w.sizes());
    }
    return w;
  }

  /// Those of one matrix, as the file has them; empty where they are not quantised.
  static StepMatrix packed(const Gguf& file, const std::vector<std::string>& names, int64_t head_dim) {
    StepMatrix out;
    for (const auto& name : names) {
      const auto& tensor = file.tensor(gguf_name(name));
      if (!StepMatrix::is_packed(tensor)) return {};
      out.append(file, tensor, is_rotated(name) ? head_dim : 0);
    }
    return out;
  }

 private:
  /// llama.cpp rotates neighbours (2 i, 2 i + 1) and has put the rows of queries and keys in that order; here i and i
  /// + head_dim / 2 are a pair, as in the files of Hugging Face.
  static bool is_rotated(const std::string& name) {
    return name.ends_with("q_proj.weight") || name.ends_with("k_proj.weight");
  }
  static std::string key(const std::string& name) { return "llama." + name; }
  int64_t integer(const std::string& name) const { return file_.integer(key(name)); }
  int64_t optional(const std::string& name, int64_t otherwise) const {
    return file_.has(key(name)) ? integer(name) : otherwise;
  }
  static std::string gguf_name(const std::string& name) {
    static const std::map<std::string, std::string, std::less<>> kNames = {
        {"embed_tokens.weight", "token_embd.weight"},
        {"norm.weight", "output_norm.weight"},
        {"lm_head.weight", "output.weight"},
        {"input_layernorm.weight", "attn_norm.weight"},
        {"self_attn.q_proj.weight", "attn_q.weight"},
        {"self_attn.k_proj.weight", "attn_k.weight"},
        {"self_attn.v_proj.weight", "attn_v.weight"},
        {"self_attn.o_proj.weight", "attn_output.weight"},
        {"post_attention_layernorm.weight", "ffn_norm.weight"},
        {"mlp.gate_proj.weight", "ffn_gate.weight"},
        {"mlp.up_proj.weight", "ffn_up.weight"},
        {"mlp.down_proj.weight", "ffn_down.weight"}};
    if (!name.starts_with("layers.")) return kNames.at(name);
    const size_t number = name.find('.') + 1, rest = name.find('.', number) + 1;
    return "blk." + name.substr(number, rest - number) + kNames.at(name.substr(rest));
  }

  Gguf file_;
  DecoderConfig config_;
};

class HuggingFaceSource final : public Source {
 public:
  explicit HuggingFaceSource(const fs::path& folder) : weights_(weight_files(folder)) {
    const std::string file = (folder / "config.json").string();
    with_json(file, "config.json of a decoder", [&](const Json& json) {
      const auto type = json.value("model_type", "");
      INTERPLAY_CHECK_DATA(type == "llama", "{}: model_type '{}'; decoders of the type 'llama' are read", file, type);
      const auto activation = json.value("hidden_act", "silu");
      INTERPLAY_CHECK_DATA(activation == "silu", "{}: hidden_act '{}'; expected 'silu'", file, activation);
      for (const char* bias : {"attention_bias", "mlp_bias"})
        INTERPLAY_CHECK_DATA(!json.value(bias, false), "{}: {}: biases are not read", file, bias);
      const Json rope = json.contains("rope_parameters") && json["rope_parameters"].is_object()
                            ? json["rope_parameters"]
                        : json.contains("rope_scaling") && json["rope_scaling"].is_object() ? json["rope_scaling"]
                                                                                            : Json::object();
      const auto kind = rope.value("rope_type", "default");
      INTERPLAY_CHECK_DATA(kind == "default", "{}: rotary positions of type '{}', which are not read", file, kind);
      config_.layers = json.at("num_hidden_layers"), config_.width = json.at("hidden_size");
      config_.heads = json.at("num_attention_heads"),
      config_.kv_heads = number(json, "num_key_value_heads", config_.heads);
      INTERPLAY_CHECK_DATA(config_.heads > 0, "{}: num_attention_heads is {}", file, config_.heads);
      config_.head_dim = number(json, "head_dim", config_.width / config_.heads);
      config_.hidden = json.at("intermediate_size"), config_.vocabulary = json.at("vocab_size");
      config_.context = json.at("max_position_embeddings"), config_.norm_eps = json.at("rms_norm_eps");
      config_.rope_base = rope.value("rope_theta", json.value("rope_theta", 10000.0));
      tied_ = json.value("tie_word_embeddings", false);
    });
    check(config_, file);
  }

  DecoderConfig config() const override { return config_; }
  bool has(const std::string& name) const override {
    return (name != "lm_head.weight" || !tied_) && weights_.has(full(name));
  }
  at::Tensor read(const std::string& name, at::IntArrayRef shape, at::ScalarType type) const override {
    return weights_.at(full(name), shape).to(type, false, true);  // a copy, so that the file may go
  }

 private:
  static std::string full(const std::string& name) { return name == "lm_head.weight" ? name : "model." + name; }
  static int64_t number(const Json& json, const char* key, int64_t otherwise) {
    return json.contains(key) && !json[key].is_null() ? json[key].get<int64_t>() : otherwise;
  }

  StoredWeights weights_;
  DecoderConfig config_;
  bool tied_ = false;
};

/// Projections that read the same input as one matrix.
AdapterLinear together(const Source& source, const std::string& layer,
                       const std::vector<AdapterLinearImpl::Output>& parts, int64_t in, at::ScalarType type) {
  int64_t rows = 0, at = 0;
  for (const auto& part : parts) rows += part.width;
  auto weight = at::empty({rows, in}, at::TensorOptions().dtype(type));
  std::vector<AdapterLinearImpl::Output> outputs;
  for (const auto& part : parts) {
    outputs.push_back({layer + part.name, part.width});
    weight.narrow(0, at, part.width).copy_(source.read(layer + part.name + ".weight", {part.width, in}, type));
    at += part.width;
  }
  return AdapterLinear(weight, outputs);
}

/// Which answers depends on the task: it is fixed, and so are the weights.
Decoder merged_decoder(const TunedFolder& folder, const fs::path& name, nn::Precision precision) {
  INTERPLAY_CHECK(!folder.task || folder.named()->family == TaskFamily::generation,
                  "{}: '{}' is a task of embedding, which reads both ways and answers nothing; name one of generation",
                  folder.folder.string(), folder.named()->name);
  TunedDecoder tuned = TunedDecoder::load(folder, precision);
  tuned.focus(folder.task ? int64_t(*folder.task) : TaskRouterImpl::kNone);
  tuned.decoder()->merge_adapters(fmt::format("{:016x}", model_checksum(name)));
  return tuned.decoder();
}

}  // namespace

Decoder load_decoder(const fs::path& model, nn::Precision precision) {
  if (const auto tuned = TunedFolder::find(model)) return merged_decoder(*tuned, model, precision);
  std::unique_ptr<Source> source;
  if (fs::is_directory(model)) {
    source = std::make_unique<HuggingFaceSource>(model);
  } else {
    source = std::make_unique<GgufSource>(model);
  }
  const at::NoGradGuard off;
  const DecoderConfig c = source->config();
  const auto type = precision == nn::Precision::bf16 ? at::kBFloat16 : at::kFloat;
  const int64_t queries = c.heads * c.head_dim, keys = c.kv_heads * c.head_dim;
  const auto embedding = source->read("embed_tokens.weight", {c.vocabulary, c.width}, type);
  const auto head =
      source->has("lm_head.weight") ? source->read("lm_head.weight", {c.vocabulary, c.width}, type) : embedding;
  std::vector<DecoderImpl::Layer> layers;
  for (int64_t l = 0; l < c.layers; ++l) {
    const std::string layer = fmt::format("layers.{}.", l);
    layers.push_back({source->read(layer + "input_layernorm.weight", {c.width}, at::kFloat),
                      source->read(layer + "post_attention_layernorm.weight", {c.width}, at::kFloat),
                      together(*source, layer,
                               {{"self_attn.q_proj", queries}, {"self_attn.k_proj", keys}, {"self_attn.v_proj", keys}},
                               c.width, type),
                      together(*source, layer, {{"self_attn.o_proj", c.width}}, queries, type),
                      together(*source, layer, {{"mlp.gate_proj", c.hidden}, {"mlp.up_proj", c.hidden}}, c.width, type),
                      together(*source, layer, {{"mlp.down_proj", c.width}}, c.hidden, type)});
  }
  Decoder decoder(c, embedding, std::move(layers), source->read("norm.weight", {c.width}, at::kFloat), head,
                  fmt::format("{:016x}", model_checksum(model)));
  decoder->eval();
  return decoder;
}

void DecoderImpl::read_packed(const fs::path& model) {
  if (fs::is_directory(model) || TunedFolder::find(model)) return;
  const auto checksum = fmt::format("{:016x}", model_checksum(model));
  INTERPLAY_CHECK(checksum == checksum_, "{}: has checksum {}; the decoder was loaded from a file with {}; take that",
                  model.string(), checksum, checksum_);
  const Gguf file(model);
  auto packed = std::make_shared<Packed>();
  for (int64_t l = 0; l < config_.layers; ++l) {
    const auto matrix = [&](const std::vector<std::string>& names) {
      std::vector<std::string> full;
      for (const auto& name : names) full.push_back(fmt::format("layers.{}.{}.weight", l, name));
      return GgufSource::packed(file, full, config_.head_dim);
    };
    packed->layers.push_back({matrix({"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"}),
                              matrix({"self_attn.o_proj"}), matrix({"mlp.gate_proj", "mlp.up_proj"}),
                              matrix({"mlp.down_proj"})});
  }
  const bool tied = head_.is_same(embedding_);
  packed->head = GgufSource::packed(file, {tied ? "embed_tokens.weight" : "lm_head.weight"}, config_.head_dim);
  packed_ = packed;
}

}  // namespace interplay::lm
