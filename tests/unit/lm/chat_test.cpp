#include <interplay/lm/chat.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <interplay/lm/tokenizer.h>

#include "support/error_of.h"
#include "support/gguf_writer.h"
#include "support/temp_dir.h"

namespace interplay::lm::chat_test {
namespace {

using interplay::testing::config_error;
using interplay::testing::data_error;
using interplay::testing::GgufWriter;
using interplay::testing::TempDir;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

using Messages = std::vector<ChatMessage>;

// Line breaks stand in a template as they are, or as Jinja's \n.
constexpr const char* kTemplate =
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system\n"
    "Be brief.<|im_end|>\n' }}{% endif %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + "
    "'<|im_end|>' + '\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";
constexpr const char* kEscaped =
    "{%- if messages[0]['role'] == 'system' %}{{- '<|im_start|>system\\n' + messages[0]['content'] + "
    "'<|im_end|>\\n' }}{%- else %}{{- '<|im_start|>system\\nIt\\'s me.<|im_end|>\\n' }}{%- endif %}"
    "{{- '<|im_start|>assistant\\n' }}";
constexpr const char* kWithout =
    "{% for m in messages %}{{'<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>' + '\n'}}{% endfor %}"
    "{{ '<|im_start|>assistant\n' }}";

TEST(ChatFrame, TurnsAreWrittenAsChatMl) {
  const auto frame = ChatFrame::from_template(kTemplate, "m");
  EXPECT_EQ(frame.text(Messages{{"user", "Hi"}}),
            "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n");
  EXPECT_EQ(frame.text(Messages{{"system", ""}, {"user", "Hi"}, {"assistant", "Ho"}}, false),
            "<|im_start|>system\n<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nHo<|im_end|>\n");
  EXPECT_EQ(ChatFrame().text(Messages{{"user", "Hi"}}), "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n");
}

TEST(ChatFrame, TheSystemTextIsTheTemplatesOwn) {
  EXPECT_EQ(ChatFrame::from_template(kTemplate, "m").default_system(), "Be brief.");
  EXPECT_EQ(ChatFrame::from_template(kEscaped, "m").default_system(), "It's me.");
  EXPECT_EQ(ChatFrame::from_template(kWithout, "m").default_system(), "");
}

TEST(ChatFrame, IsReadFromTheModel) {
  const TempDir dir;
  EXPECT_EQ(ChatFrame::load(dir.write("m.gguf", GgufWriter().string("tokenizer.chat_template", kTemplate).bytes()))
                .default_system(),
            "Be brief.");
  EXPECT_THAT(data_error([&] { ChatFrame::load(dir.write("m.gguf", GgufWriter().integer("n", 1).bytes())); }),
              HasSubstr("no metadata entry 'tokenizer.chat_template'"));
  const std::string other = "{{ '[INST] ' + messages[0]['content'] + ' [/INST]' }}";
  EXPECT_THAT(data_error([&] {
                ChatFrame::load(dir.write("m.gguf", GgufWriter().string("tokenizer.chat_template", other).bytes()));
              }),
              HasSubstr("m.gguf: tokenizer.chat_template: does not write ChatML"));
}

TEST(ChatFrame, IsReadFromAFolderAsHuggingFaceWritesIt) {
  const TempDir dir;
  EXPECT_THAT(data_error([&] { ChatFrame::load(dir.path()); }), HasSubstr("has neither chat_template.jinja nor"));
  dir.write("tokenizer_config.json", "{}");
  EXPECT_THAT(data_error([&] { ChatFrame::load(dir.path()); }),
              HasSubstr("tokenizer_config.json: chat_template: there is none"));
  const auto quoted = nlohmann::json(kEscaped).dump();
  dir.write("tokenizer_config.json", "{\"chat_template\": " + quoted + "}");
  EXPECT_EQ(ChatFrame::load(dir.path()).default_system(), "It's me.");
  dir.write("tokenizer_config.json",
            "{\"chat_template\": [{\"name\": \"tool\", \"template\": \"\"}, {\"name\": \"default\", \"template\": " +
                quoted + "}]}");
  EXPECT_EQ(ChatFrame::load(dir.path()).default_system(), "It's me.");
  dir.write("tokenizer_config.json", "{\"chat_template\": []}");
  EXPECT_THAT(data_error([&] { ChatFrame::load(dir.path()); }), HasSubstr("none of its templates is called 'default'"));
  dir.write("chat_template.jinja", kTemplate);
  EXPECT_EQ(ChatFrame::load(dir.path()).default_system(), "Be brief.");
}

TEST(ChatFrame, OtherRolesAreRefused) {
  EXPECT_THAT(config_error([] { ChatFrame().text(Messages{{"tool", "Hi"}}); }), HasSubstr("'tool' is no role"));
}

TEST(ChatFrame, WhatAMessageSaysStaysText) {
  const TempDir dir;
  std::vector<std::string> tokens{"<|im_start|>", "<|im_end|>", "Ċ"};
  std::vector<int32_t> types{3, 3, 1};
  for (const char letter : std::string("<|>_abdeimnrstuy")) {
    tokens.emplace_back(1, letter);
    types.push_back(1);
  }
  GgufWriter w;
  w.string("tokenizer.ggml.model", "gpt2").string("tokenizer.ggml.pre", "gpt-2");
  w.strings("tokenizer.ggml.tokens", tokens).integers("tokenizer.ggml.token_type", types);
  w.strings("tokenizer.ggml.merges", {});
  const auto t = Tokenizer::load(dir.write("m.gguf", w.bytes()));
  const ChatFrame frame;
  const Messages plain{{"user", "ab"}}, sly{{"user", "<|im_end|>"}};
  EXPECT_EQ(frame.encode(*t, plain), t->encode(frame.text(plain), {.control = true}));
  EXPECT_EQ(frame.encode(*t, plain, false), t->encode(frame.text(plain, false), {.control = true}));
  const auto ids = frame.encode(*t, sly, false);
  EXPECT_EQ(std::count(ids.begin(), ids.end(), 1), 1);  // the turn's own end alone
  EXPECT_EQ(t->decode(ids, true), frame.text(sly, false));
}

}  // namespace
}  // namespace interplay::lm::chat_test
