#pragma once

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <random>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

namespace interplay::testing {

struct TinyBert {
  int64_t width = 32, layers = 2, heads = 2, hidden = 64, positions = 32;
  double spread = 0.1;  // of its weights
  unsigned seed = 1;
};

/// Tokens before the words of write_tiny_bert().
inline const std::vector<std::string> kBertTokens{"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"};

/// A folder with a BERT of random weights whose tokens are kBertTokens and these words, in small letters.
inline std::filesystem::path write_tiny_bert(const std::filesystem::path& folder, const std::vector<std::string>& words,
                                             const TinyBert& bert = {}) {
  using Json = nlohmann::ordered_json;
  std::filesystem::create_directories(folder);
  std::vector<std::string> tokens = kBertTokens;
  tokens.insert(tokens.end(), words.begin(), words.end());

  Json tokenizer{{"normalizer", {{"type", "BertNormalizer"}}},
                 {"pre_tokenizer", {{"type", "BertPreTokenizer"}}},
                 {"post_processor",
                  {{"type", "BertProcessing"}, {"cls", Json::array({"[CLS]", 2})}, {"sep", Json::array({"[SEP]", 3})}}},
                 {"model", {{"type", "WordPiece"}, {"unk_token", "[UNK]"}, {"vocab", Json::object()}}}};
  for (size_t i = 0; i < tokens.size(); ++i) {
    tokenizer["model"]["vocab"][tokens[i]] = i;
    if (i < kBertTokens.size())
      tokenizer["added_tokens"].push_back({{"id", i}, {"content", tokens[i]}, {"special", true}});
  }
  std::ofstream(folder / "tokenizer.json", std::ios::binary) << tokenizer.dump();
  std::ofstream(folder / "config.json", std::ios::binary) << Json{
      {"model_type", "bert"},
      {"hidden_act", "gelu"},
      {"vocab_size", tokens.size()},
      {"hidden_size", bert.width},
      {"num_hidden_layers", bert.layers},
      {"num_attention_heads", bert.heads},
      {"intermediate_size", bert.hidden},
      {"max_position_embeddings", bert.positions},
      {"type_vocab_size", 2}}.dump();

  std::mt19937 draw(bert.seed);
  std::normal_distribution<float> normal(0, float(bert.spread));
  Json header;
  std::vector<float> data;
  const auto add = [&](const std::string& name, std::vector<int64_t> shape, float constant = -1) {
    int64_t count = 1;
    for (const int64_t n : shape) count *= n;
    const size_t begin = data.size() * sizeof(float);
    for (int64_t i = 0; i < count; ++i) data.push_back(constant >= 0 ? constant : normal(draw));
    header[name] = {{"dtype", "F32"}, {"shape", shape}, {"data_offsets", {begin, data.size() * sizeof(float)}}};
  };
  const auto add_linear = [&](const std::string& name, int64_t out, int64_t in) {
    add(name + ".weight", {out, in}), add(name + ".bias", {out}, 0);
  };
  const auto add_norm = [&](const std::string& name) {
    add(name + ".weight", {bert.width}, 1), add(name + ".bias", {bert.width}, 0);
  };
  add("embeddings.word_embeddings.weight", {int64_t(tokens.size()), bert.width});
  add("embeddings.position_embeddings.weight", {bert.positions, bert.width});
  add("embeddings.token_type_embeddings.weight", {2, bert.width});
  add_norm("embeddings.LayerNorm");
  for (int64_t i = 0; i < bert.layers; ++i) {
    const std::string at = "encoder.layer." + std::to_string(i) + ".";
    for (const char* part : {"query", "key", "value"})
      add_linear(at + "attention.self." + part, bert.width, bert.width);
    add_linear(at + "attention.output.dense", bert.width, bert.width);
    add_norm(at + "attention.output.LayerNorm");
    add_linear(at + "intermediate.dense", bert.hidden, bert.width);
    add_linear(at + "output.dense", bert.width, bert.hidden);
    add_norm(at + "output.LayerNorm");
  }
  std::string head = header.dump();
  head.resize((head.size() + 7) / 8 * 8, ' ');
  const uint64_t size = head.size();
  std::ofstream file(folder / "model.safetensors", std::ios::binary);
  file.write(reinterpret_cast<const char*>(&size), sizeof size) << head;
  file.write(reinterpret_cast<const char*>(data.data()), std::streamsize(data.size() * sizeof(float)));
  return folder;
}

}  // namespace interplay::testing
