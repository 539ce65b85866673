// Logits of SmolLM2 against stored ones of Hugging Face's LlamaForCausalLM: reference/smollm2.py.
#include <interplay/lm/scorer.h>

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <interplay/lm/decoder_encoder.h>
#include <interplay/lm/model_files.h>

#include "support/stored.h"

namespace interplay::lm::decoder_test {
namespace {

constexpr int kPrompts = 4;

/// The largest difference over the stored logits of all prompts, read in one call.
double largest_difference(nn::Precision precision) {
  std::vector<int64_t> chosen{10539, 5230, 9230, 2838};
  for (int64_t token = 0; token < 49152; token += 32) chosen.push_back(token);
  std::vector<TokenIds> prompts;
  std::vector<at::Tensor> expected;
  for (int i = 0; i < kPrompts; ++i) {
    testing::Stored stored("smollm2.safetensors", std::to_string(i));
    const auto ids = stored.at("ids").to(at::kLong);
    prompts.emplace_back(ids.const_data_ptr<int64_t>(), ids.const_data_ptr<int64_t>() + ids.numel());
    expected.push_back(stored.at("logits"));
  }
  DecoderScorer scorer(load_decoder(find_model("smollm2-135m"), precision));
  return (scorer.answers(prompts, chosen) - at::stack(expected)).abs().max().item<double>();
}

TEST(SmolLm2, LogitsAreThoseOfTheReference) { EXPECT_LT(largest_difference(nn::Precision::fp32), 1e-3); }
// bf16 has 8 bits, and logits are of the order of 30
TEST(SmolLm2, LogitsInBf16AreNearThoseOfTheReference) { EXPECT_LT(largest_difference(nn::Precision::bf16), 1.0); }

TEST(SmolLm2, LogLikelihoodsAreThoseOfTheReference) {
  DecoderScorer scorer(load_decoder(find_model("smollm2-135m"), nn::Precision::fp32));
  for (int i = 0; i < kPrompts; ++i) {
    testing::Stored stored("smollm2.safetensors", std::to_string(i));
    const auto ids = stored.at("ids").to(at::kLong);
    const TokenIds text(ids.const_data_ptr<int64_t>(), ids.const_data_ptr<int64_t>() + ids.numel());
    const double expected = stored.at("log_p").item<double>();
    const double found =
        -std::log(scorer.perplexity(std::vector<TokenIds>{text}).item<double>()) * double(text.size() - 1);
    EXPECT_NEAR(found, expected, 1e-3 * double(text.size()));
  }
}

TEST(SmolLm2, VectorsAreThoseOfTheReference) {
  DecoderEncoder encoder(find_model("smollm2-135m"));
  const auto tokenizer = Tokenizer::load(find_model("smollm2-135m"));
  std::vector<std::string> texts;
  std::vector<at::Tensor> expected;
  for (int i = 0; i < kPrompts; ++i) {
    testing::Stored stored("smollm2.safetensors", std::to_string(i));
    const auto ids = stored.at("ids").to(at::kLong);
    const TokenIds text(ids.const_data_ptr<int64_t>(), ids.const_data_ptr<int64_t>() + ids.numel());
    texts.push_back(tokenizer->decode(text, true));
    EXPECT_EQ(encoder.ids_of(texts.back()), text);
    expected.push_back(stored.at("mean"));
  }
  testing::expect_near(encoder.encode(texts), at::stack(expected), 1e-4, "means");
}

}  // namespace
}  // namespace interplay::lm::decoder_test
