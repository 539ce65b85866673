// Token ids against stored ones of Hugging Face's tokenizers: reference/tokens.py.
#include <chrono>
#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <interplay/lm/chat.h>
#include <interplay/lm/model_files.h>
#include <interplay/lm/tokenizer.h>

#include "support/stored.h"

namespace interplay::lm::tokens_test {
namespace {

using ::testing::ElementsAre;

struct Case {
  std::string text;
  std::vector<int64_t> ids;
};

std::vector<Case> stored(const std::string& name) {
  std::vector<Case> cases;
  std::ifstream lines(testing::reference_file(name));
  for (std::string line; std::getline(lines, line);) {
    const auto one = nlohmann::json::parse(line);
    cases.push_back({one.at(0), one.at(1)});
  }
  return cases;
}

void expect_stored(const Tokenizer& tokenizer, const std::string& name, const EncodeOptions& options) {
  const auto cases = stored(name);
  EXPECT_GE(cases.size(), 1000u);
  for (const auto& one : cases)
    EXPECT_EQ(tokenizer.encode(one.text, options), one.ids) << ::testing::PrintToString(one.text);
}

TEST(Tokens, OfSmolLm2AreThoseOfTheReference) {
  const auto tokenizer = Tokenizer::load(find_model("smollm2-135m"));
  expect_stored(*tokenizer, "tokens_smollm2.jsonl", {.control = true});
  expect_stored(*tokenizer, "tokens_smollm2.jsonl", {.control = true, .frame = true});  // the model wants none
}

TEST(Tokens, OfMiniLmAreThoseOfTheReference) {
  expect_stored(*Tokenizer::load(find_model("minilm-l6")), "tokens_minilm.jsonl", {.control = true, .frame = true});
}

// Byte-level: what is encoded comes back, but for the bytes that the vocabulary has no token for.
TEST(Tokens, OfSmolLm2AreReadBack) {
  const auto tokenizer = Tokenizer::load(find_model("smollm2-135m"));
  size_t compared = 0;
  for (const auto& one : stored("tokens_smollm2.jsonl")) {
    const auto missing = [&](char byte) { return !tokenizer->find(std::string(1, byte)); };
    if (std::any_of(one.text.begin(), one.text.end(), missing)) continue;
    EXPECT_EQ(tokenizer->decode(tokenizer->encode(one.text)), one.text);
    ++compared;
  }
  EXPECT_GE(compared, 900u);
}

TEST(Tokens, OfTheChatFrameAreThoseOfItsText) {
  const auto model = find_model("smollm2-135m");
  const auto tokenizer = Tokenizer::load(model);
  const auto frame = ChatFrame::load(model);
  EXPECT_EQ(frame.default_system(), "You are a helpful AI assistant named SmolLM, trained by Hugging Face");
  const std::vector<ChatMessage> one{{"user", "Is water wet? Answer Yes or No."}};
  EXPECT_EQ(frame.text(one),
            "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n"
            "<|im_start|>user\nIs water wet? Answer Yes or No.<|im_end|>\n<|im_start|>assistant\n");
  EXPECT_EQ(frame.encode(*tokenizer, one), tokenizer->encode(frame.text(one), {.control = true}));
  EXPECT_THAT(tokenizer->encode("Yes No"), ElementsAre(10539, 2838));
  EXPECT_EQ(tokenizer->id(" Yes"), 9230);
  EXPECT_EQ(tokenizer->id("<|im_end|>"), 2);
  EXPECT_EQ(tokenizer->end_id(), 2);
}

}  // namespace
}  // namespace interplay::lm::tokens_test
