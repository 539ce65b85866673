#pragma once

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <random>
#include <string>
#include <vector>

#include "support/gguf_writer.h"

namespace interplay::testing {

struct TinyLlama {
  uint32_t width = 32, layers = 2, heads = 4, hidden = 48, context = 512;
  double spread = 0.3;  // of its weights
  unsigned seed = 1;
};

/// A GGUF file of a llama of random weights that can learn to say each of its tokens: control tokens of ChatML, the 256
/// bytes, and "Yes" and "No".
inline std::filesystem::path write_tiny_llama(const std::filesystem::path& file, const TinyLlama& llama = {}) {
  std::vector<std::string> tokens{"<|endoftext|>", "<|im_start|>", "<|im_end|>"};
  const size_t control = tokens.size();
  const auto utf8 = [](uint32_t c) {
    return c < 0x80 ? std::string(1, char(c)) : std::string{char(0xc0 | c >> 6), char(0x80 | (c & 0x3f))};
  };
  // GPT-2's printable stand-ins of the bytes
  for (uint32_t byte = 0, others = 0; byte < 256; ++byte) {
    const bool plain = (byte >= '!' && byte <= '~') || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
    tokens.push_back(utf8(plain ? byte : 256 + others++));
  }
  const std::vector<std::string> merges{"Y e", "Ye s", "N o"};
  for (const char* merged : {"Ye", "Yes", "No"}) tokens.emplace_back(merged);
  std::vector<int32_t> types(tokens.size(), 1);
  std::fill_n(types.begin(), control, 3);

  GgufWriter w;
  w.string("general.architecture", "llama").integer("llama.block_count", llama.layers);
  w.integer("llama.context_length", llama.context).integer("llama.embedding_length", llama.width);
  w.integer("llama.feed_forward_length", llama.hidden).integer("llama.attention.head_count", llama.heads);
  w.integer("llama.attention.head_count_kv", llama.heads).number("llama.attention.layer_norm_rms_epsilon", 1e-5f);
  w.string("tokenizer.ggml.model", "gpt2").string("tokenizer.ggml.pre", "smollm");
  w.strings("tokenizer.ggml.tokens", tokens).integers("tokenizer.ggml.token_type", types);
  w.strings("tokenizer.ggml.merges", merges);
  w.integer("tokenizer.ggml.bos_token_id", 1).integer("tokenizer.ggml.eos_token_id", 2);
  w.string("tokenizer.chat_template", "<|im_start|>assistant\n<|im_end|>");
  std::mt19937 draw(llama.seed);
  std::normal_distribution<float> normal(0, float(llama.spread));
  const auto add = [&](const std::string& name, std::vector<uint64_t> shape, bool ones = false) {
    size_t count = 1;
    for (const auto size : shape) count *= size;
    std::vector<float> numbers(count, 1);
    for (auto& number : numbers) number = ones ? 1 : normal(draw);
    w.tensor(name, shape, 0, f32_bytes(numbers));
  };
  const uint64_t width = llama.width, hidden = llama.hidden;
  add("token_embd.weight", {width, tokens.size()});
  for (uint32_t l = 0; l < llama.layers; ++l) {
    const std::string at = "blk." + std::to_string(l) + ".";
    for (const char* norm : {"attn_norm", "ffn_norm"}) add(at + norm + ".weight", {width}, true);
    for (const char* square : {"attn_q", "attn_k", "attn_v", "attn_output"})
      add(at + square + ".weight", {width, width});
    for (const char* up : {"ffn_gate", "ffn_up"}) add(at + up + ".weight", {width, hidden});
    add(at + "ffn_down.weight", {hidden, width});
  }
  add("output_norm.weight", {width}, true);
  std::ofstream(file, std::ios::binary) << w.bytes();
  return file;
}

}  // namespace interplay::testing
