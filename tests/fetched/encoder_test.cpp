// Vectors of MiniLM against stored ones of Hugging Face's BertModel: reference/encoder.py.
#include <interplay/lm/encoder.h>

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <interplay/lm/model_files.h>

#include "support/stored.h"

namespace interplay::lm::encoder_test {
namespace {

/// The least cosine over the stored texts, all encoded in one call.
double least_cosine(EncoderOptions options) {
  SentenceEncoder encoder(find_model("minilm-l6"), std::move(options));
  EXPECT_EQ(encoder.max_length(), 256);
  std::vector<std::string> texts;
  for (const auto& one : testing::reference_json("minilm.json")) {
    texts.push_back(one.at("text"));
    EXPECT_EQ(encoder.ids_of(texts.back()), one.at("ids").get<std::vector<int64_t>>()) << texts.back();
  }
  EXPECT_GE(texts.size(), 50u);
  const nn::Safetensors expected(testing::reference_file("minilm.safetensors"));
  return (encoder.encode(texts) * expected.at("vectors")).sum(1).min().item<double>();
}

TEST(MiniLm, VectorsAreThoseOfTheReference) { EXPECT_GE(least_cosine({}), 0.999999); }
TEST(MiniLm, VectorsInBf16AreNearThoseOfTheReference) {
  EXPECT_GE(least_cosine({.precision = nn::Precision::bf16}), 0.9995);
}

}  // namespace
}  // namespace interplay::lm::encoder_test
