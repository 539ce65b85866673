#include <interplay/lm/encoder.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include <ATen/ATen.h>

#include <interplay/base/error.h>
#include <interplay/base/progress.h>
#include <interplay/lm/decoder_encoder.h>
#include <interplay/lm/model_files.h>
#include <interplay/lm/tuned_decoder.h>
#include <interplay/nn/dropout.h>
#include <interplay/nn/rounded_linear.h>

#include "lm/json_file.h"
#include "lm/tensor/texts.h"

namespace interplay::lm {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

/// An entry of a JSON file, or `otherwise` where it has none.
template <class Value>
Value entry(const fs::path& file, const char* key, Value otherwise) {
  return with_json(file, "JSON file of settings", [&](const Json& json) { return json.value(key, otherwise); });
}

torch::nn::Linear linear(int64_t in, int64_t out) { return torch::nn::Linear(in, out); }
torch::nn::LayerNorm layer_norm(const BertOptions& o) {
  return torch::nn::LayerNorm(torch::nn::LayerNormOptions({o.width}).eps(o.layer_norm_eps));
}

/// A tensor by its name in a BertModel, or in the `bert.` of a model with a head.
const at::Tensor& find(const StoredWeights& weights, const std::string& name, at::IntArrayRef shape) {
  return weights.at(weights.has("bert." + name) ? "bert." + name : name, shape);
}

/// softmax(q k^T / sqrt(D) + mask) v of [B, heads, L, D], of whose weights some are dropped.
at::Tensor dropped_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const at::Tensor& mask,
                             double share) {
  const auto score = at::matmul(q / std::sqrt(double(q.size(3))), k.transpose(2, 3));
  return at::matmul(nn::dropout((mask.defined() ? score + mask : score).softmax(3), share, true), v);
}

}  // namespace

TextEncoder::~TextEncoder() = default;

std::unique_ptr<TextEncoder> load_encoder(const fs::path& model, EncoderOptions options) {
  if (const auto tuned = TunedFolder::find(model)) {
    return std::make_unique<TunedEncoder>(TunedDecoder::load(*tuned, options.precision), Tokenizer::load(model), *tuned,
                                          std::move(options));
  }
  const bool bert = fs::is_directory(model) && entry(model / "config.json", "model_type", Json()) == Json("bert");
  if (bert) return std::make_unique<SentenceEncoder>(model, std::move(options));
  return std::make_unique<DecoderEncoder>(model, std::move(options));
}

BertOptions BertOptions::load(const fs::path& file) {
  const std::string place = file.string();
  return with_json(file, "config.json of a BERT", [&](const Json& config) {
    const auto expect = [&](const char* key, const Json& expected) {
      const Json found = config.value(key, expected);
      INTERPLAY_CHECK_DATA(found == expected, "{}: {} is {}; expected {}", place, key, found.dump(), expected.dump());
    };
    INTERPLAY_CHECK_DATA(config.value("model_type", "") == "bert",
                         "{}: model_type is {}; encoders of the type \"bert\" are read", place,
                         config.value("model_type", Json()).dump());
    expect("hidden_act", "gelu");
    expect("position_embedding_type", "absolute");
    BertOptions o;
    const auto size = [&](const char* key, int64_t& into) {
      into = config.at(key).get<int64_t>();
      constexpr int64_t kMost = 1 << 24;
      INTERPLAY_CHECK_DATA(into >= 1 && into <= kMost, "{}: {} is {}; expected 1 to {}", place, key, into, kMost);
    };
    size("vocab_size", o.vocabulary);
    size("hidden_size", o.width);
    size("num_hidden_layers", o.layers);
    size("num_attention_heads", o.heads);
    size("intermediate_size", o.hidden);
    size("max_position_embeddings", o.positions);
    size("type_vocab_size", o.token_types);
    o.layer_norm_eps = config.value("layer_norm_eps", o.layer_norm_eps);
    INTERPLAY_CHECK_DATA(o.width % o.heads == 0, "{}: hidden_size {} is no multiple of num_attention_heads {}", place,
                         o.width, o.heads);
    return o;
  });
}

BertLayerImpl::BertLayerImpl(const BertOptions& o) : heads_(o.heads), dropout_(o.dropout) {
  query_key_value = register_module("query_key_value", linear(o.width, 3 * o.width));
  attention_output = register_module("attention_output", linear(o.width, o.width));
  attention_norm = register_module("attention_norm", layer_norm(o));
  up = register_module("up", linear(o.width, o.hidden));
  down = register_module("down", linear(o.hidden, o.width));
  output_norm = register_module("output_norm", layer_norm(o));
}

at::Tensor BertLayerImpl::forward(const at::Tensor& x, const at::Tensor& mask) {
  const int64_t rows = x.size(0), length = x.size(1), width = x.size(2);
  const auto parts =
      nn::rounded_linear(x, query_key_value).view({rows, length, 3, heads_, width / heads_}).permute({2, 0, 3, 1, 4});
  const std::optional<at::Tensor> bias = mask.defined() ? std::optional(mask) : std::nullopt;
  const auto attended = is_training() && dropout_ > 0
                            ? dropped_attention(parts[0], parts[1], parts[2], mask, dropout_)
                            : at::scaled_dot_product_attention(parts[0], parts[1], parts[2], bias);
  const auto added = nn::rounded_linear(attended.transpose(1, 2).reshape({rows, length, width}), attention_output);
  const auto y = attention_norm(x + nn::dropout(added, dropout_, is_training()));
  return output_norm(y + nn::dropout(nn::rounded_linear(at::gelu(nn::rounded_linear(y, up)), down), dropout_,
                                     is_training()));  // [B, L, D]
}

BertImpl::BertImpl(const BertOptions& o) : options_(o) {
  words_ = register_module("words", torch::nn::Embedding(o.vocabulary, o.width));
  positions_ = register_module("positions", torch::nn::Embedding(o.positions, o.width));
  types_ = register_module("types", torch::nn::Embedding(o.token_types, o.width));
  norm_ = register_module("norm", layer_norm(o));
  for (int64_t i = 0; i < o.layers; ++i) layers_.push_back(register_module("layer" + std::to_string(i), BertLayer(o)));
}

void BertImpl::check(const StoredWeights& weights, const BertOptions& o) {
  find(weights, "embeddings.word_embeddings.weight", {o.vocabulary, o.width});
  find(weights, "embeddings.position_embeddings.weight", {o.positions, o.width});
  find(weights, "embeddings.token_type_embeddings.weight", {o.token_types, o.width});
  find(weights, fmt::format("encoder.layer.{}.intermediate.dense.weight", o.layers - 1), {o.hidden, o.width});
}

void BertImpl::load(const StoredWeights& weights) {
  const at::NoGradGuard no_grad;
  const auto put = [&](at::Tensor into, const std::string& name) { into.copy_(find(weights, name, into.sizes())); };
  const auto put_both = [&](auto& module, const std::string& name) {
    put(module->weight, name + ".weight");
    put(module->bias, name + ".bias");
  };
  put(words_->weight, "embeddings.word_embeddings.weight");
  put(positions_->weight, "embeddings.position_embeddings.weight");
  put(types_->weight, "embeddings.token_type_embeddings.weight");
  put_both(norm_, "embeddings.LayerNorm");
  for (size_t i = 0; i < layers_.size(); ++i) {
    const std::string at = fmt::format("encoder.layer.{}.", i);
    BertLayerImpl& layer = *layers_[i];
    int64_t part = 0;
    for (const char* name : {"query", "key", "value"}) {
      put(layer.query_key_value->weight.chunk(3)[part], at + "attention.self." + name + ".weight");
      put(layer.query_key_value->bias.chunk(3)[part++], at + "attention.self." + name + ".bias");
    }
    put_both(layer.attention_output, at + "attention.output.dense");
    put_both(layer.attention_norm, at + "attention.output.LayerNorm");
    put_both(layer.up, at + "intermediate.dense");
    put_both(layer.down, at + "output.dense");
    put_both(layer.output_norm, at + "output.LayerNorm");
  }
}

at::Tensor BertImpl::forward(const at::Tensor& ids, const at::Tensor& lengths) {
  const int64_t length = ids.size(1);
  INTERPLAY_CHECK(length <= options_.positions, "a text of {} tokens; the model has positions for {}", length,
                  options_.positions);
  const auto places = at::arange(length, ids.options());    // [L]
  const auto type = types_->weight.select(0, 0);            // one text alone: all of it is of type 0
  auto x = norm_(words_(ids) + positions_(places) + type);  // [B, L, D]
  x = nn::dropout(x, options_.dropout, is_training());
  at::Tensor mask;
  const auto behind = places.unsqueeze(0) >= lengths.unsqueeze(1);  // [B, L]
  if (behind.any().item<bool>()) {
    mask = at::zeros({ids.size(0), 1, 1, length}, x.options());
    mask.masked_fill_(behind.view({ids.size(0), 1, 1, length}), -std::numeric_limits<double>::infinity());
  }
  for (auto& layer : layers_) x = layer(x, mask);
  return x;
}

SentenceEncoder::SentenceEncoder(const fs::path& folder, EncoderOptions options)
    : folder_(folder), options_(std::move(options)) {
  INTERPLAY_CHECK_DATA(fs::is_directory(folder), "{}: is a file; a BERT is a folder, as minilm-l6 is", folder.string());
  INTERPLAY_CHECK(!options_.chat, "{}: is no chat model, so that texts cannot be framed as messages", folder.string());
  for (const char* file : {"config.json", "tokenizer.json"}) {
    INTERPLAY_CHECK_DATA(fs::exists(folder / file),
                         "{}: has no {}; a text encoder is a folder with config.json, model.safetensors and "
                         "tokenizer.json, as `interplay fetch minilm-l6` makes one",
                         folder.string(), file);
  }
  const BertOptions sizes = BertOptions::load(folder / "config.json");
  tokenizer_ = Tokenizer::load(folder);
  INTERPLAY_CHECK_DATA(tokenizer_->size() <= sizes.vocabulary,
                       "{}: tokenizer.json has {} tokens; config.json says {}; they belong to two models",
                       folder.string(), tokenizer_->size(), sizes.vocabulary);
  const fs::path pooling = folder / "1_Pooling" / "config.json", sentence = folder / "sentence_bert_config.json";
  INTERPLAY_CHECK_DATA(!fs::exists(pooling) || entry(pooling, "pooling_mode_mean_tokens", false),
                       "{}: pools otherwise than by the mean, which is what is computed", pooling.string());
  if (options_.max_length == 0) {
    options_.max_length = sizes.positions;
    if (fs::exists(sentence))
      options_.max_length = std::min(sizes.positions, entry(sentence, "max_seq_length", sizes.positions));
  }
  INTERPLAY_CHECK(options_.max_length >= 3 && options_.max_length <= sizes.positions,
                  "max_length is {}; expected 3 (a token and its frame) to {}, the positions of the model",
                  options_.max_length, sizes.positions);
  const StoredWeights stored(weight_files(folder));
  BertImpl::check(stored, sizes);
  model_ = Bert(sizes);
  model_->load(stored);
  model_->eval();
  if (options_.precision == nn::Precision::bf16) model_->to(at::kBFloat16);
  checksum_ = model_checksum(folder);
}

SentenceEncoder::~SentenceEncoder() = default;

int64_t SentenceEncoder::width() const { return model_->options().width; }

std::string SentenceEncoder::identity() const {
  return fmt::format("bert {:016x}, mean of at most {} tokens, length 1, {}", checksum_, options_.max_length,
                     nn::to_string(options_.precision));
}

TokenIds SentenceEncoder::ids_of(std::string_view text) const {
  // Names of control tokens in a text become these, as with the libraries that the model was trained by.
  return tokenizer_->encode(text, {.control = true, .frame = true, .max_length = options_.max_length});
}

// Sorted by length, so that the texts of a batch are of about one length and hardly any padding is computed.
at::Tensor SentenceEncoder::encode(std::span<const std::string> texts) {
  const at::NoGradGuard no_grad;
  const std::vector<TokenIds> ids = ids_of_all(*this, texts);
  int64_t tokens = 0;
  for (const auto& one : ids) tokens += int64_t(one.size());
  std::vector<int64_t> order = longest_first(ids);
  auto out = at::empty({int64_t(texts.size()), width()}, at::kFloat);
  std::optional<Progress> progress;
  if (!options_.progress.empty()) progress.emplace(options_.progress, tokens, "tokens");
  for (size_t first = 0; first < order.size();) {
    const auto length = int64_t(ids[size_t(order[first])].size());  // of the longest
    const size_t most = size_t(std::max<int64_t>(1, options_.batch_tokens / length));
    const size_t count = std::min(most, order.size() - first);
    auto batch = at::zeros({int64_t(count), length}, at::kLong);
    auto lengths = at::empty({int64_t(count)}, at::kLong);
    int64_t batch_tokens = 0;
    for (size_t row = 0; row < count; ++row) {
      const auto& one = ids[size_t(order[first + row])];
      std::copy(one.begin(), one.end(), batch.mutable_data_ptr<int64_t>() + int64_t(row) * length);
      lengths.mutable_data_ptr<int64_t>()[row] = int64_t(one.size());
      batch_tokens += int64_t(one.size());
    }
    const auto states = model_->forward(batch, lengths).to(at::kFloat);                    // [B, L, D]
    const auto inside = at::arange(length).unsqueeze(0) < lengths.unsqueeze(1);            // [B, L]
    const auto sum = states.masked_fill(inside.logical_not().unsqueeze(2), 0).sum(1);      // [B, D]
    const auto mean = sum / lengths.unsqueeze(1);                                          // [B, D]
    const auto unit = mean / at::linalg_vector_norm(mean, 2, {1}, true).clamp_min(1e-12);  // as PyTorch's normalize
    const auto places = at::from_blob(order.data() + first, {int64_t(count)}, at::kLong);
    out.index_copy_(0, places, unit);
    first += count;
    if (progress)
      progress->add(batch_tokens, fmt::format("{} texts/s", human_count(double(first) / progress->seconds())));
  }
  return out;
}

}  // namespace interplay::lm
