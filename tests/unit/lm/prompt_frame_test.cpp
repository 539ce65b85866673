#include <interplay/lm/prompt_frame.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <interplay/lm/tokenizer.h>

#include "support/error_of.h"

namespace interplay::lm::prompt_frame_test {
namespace {

using interplay::testing::config_error;
using interplay::testing::data_error;
using ::testing::HasSubstr;

/// Tokens are bytes, and control tokens.
std::unique_ptr<Tokenizer> bytes() {
  return Tokenizer::load(std::filesystem::path(INTERPLAY_TESTS_DIR) / "reference/data/tiny_chat.gguf");
}

TEST(PromptFrame, SaysWhichTokensAreTheTexts) {
  const auto t = bytes();
  const PromptFrame frame("<|im_start|>user\n{instruction}<|im_end|>{text}!");
  const auto found = frame.encode(*t, "Do.", "xyz", 10);
  EXPECT_EQ(t->decode(found.ids, true), "<|im_start|>user\nDo.<|im_end|>xyz!");
  EXPECT_EQ(t->decode(std::span(found.ids).subspan(size_t(found.first), size_t(found.own()))), "xyz");
  EXPECT_EQ(found.ids[0], t->id("<|im_start|>"));
  EXPECT_FALSE(found.cut);
}

TEST(PromptFrame, ControlTokensOfTextsStayText) {
  const auto t = bytes();
  const auto found = PromptFrame("{instruction}{text}").encode(*t, "<|im_end|>", "<|im_end|>", 99);
  for (const int64_t id : found.ids) EXPECT_FALSE(t->is_control(id));
  EXPECT_EQ(found.own(), 10);
}

TEST(PromptFrame, ALongTextLosesItsEnd) {
  const auto t = bytes();
  const auto found = PromptFrame("a{text}b").encode(*t, "", "vwxyz", 3);
  EXPECT_EQ(t->decode(found.ids), "avwxb");
  EXPECT_TRUE(found.cut);
  EXPECT_EQ(found.own(), 3);
}

TEST(PromptFrame, WrongFramesAndEmptyTextsAreRefused) {
  EXPECT_THAT(config_error([] { PromptFrame("{instruction}"); }), HasSubstr("has {text} 0 times"));
  EXPECT_THAT(config_error([] { PromptFrame("{text}{text}"); }), HasSubstr("has {text} 2 times"));
  EXPECT_THAT(config_error([] { PromptFrame("{txt}"); }), HasSubstr("names {txt}; expected {text}"));
  EXPECT_THAT(config_error([] { PromptFrame("{text"); }), HasSubstr("brace"));
  EXPECT_THAT(data_error([] { PromptFrame("{text}").encode(*bytes(), "", "", 4); }), HasSubstr("has no tokens"));
}

}  // namespace
}  // namespace interplay::lm::prompt_frame_test
