#include "lm_prompt_arguments.h"

#include <algorithm>
#include <optional>

#include <nlohmann/json.hpp>

#include <interplay/base/error.h>
#include <interplay/base/with_place.h>
#include <interplay/lm/chat.h>

#include "lm.h"

namespace interplay::tool {
namespace {

using Json = nlohmann::json;

/// A prompt before it is tokens: a text, or the turns of a conversation.
struct Prompt {
  std::string place, text;
  std::vector<lm::ChatMessage> messages;
};

std::vector<lm::ChatMessage> messages_of(const Json& list) {
  std::vector<lm::ChatMessage> out;
  const auto text = [](const Json& one, const char* key) {
    INTERPLAY_CHECK_DATA(one.is_object() && one.contains(key) && one[key].is_string(),
                         "'messages': expected objects with a string 'role' and a string 'content'");
    return one[key].get<std::string>();
  };
  for (const auto& one : list) out.push_back({text(one, "role"), text(one, "content")});
  INTERPLAY_CHECK_DATA(!out.empty(), "'messages': has none");
  return out;
}

Prompt prompt_of(const Json& json, const std::string& place) {
  if (json.is_string()) return {place, json.get<std::string>(), {}};
  if (json.is_object() && json.contains("messages") && json["messages"].is_array())
    return {place, "", with_place(place, [&] { return messages_of(json["messages"]); })};
  INTERPLAY_CHECK_DATA(json.is_object() && json.contains("prompt") && json["prompt"].is_string(),
                       "{}: expected a JSON string, or an object with a string 'prompt' or a list 'messages'", place);
  return {place, json["prompt"].get<std::string>(), {}};
}

/// Of a file: all of it as it is, or of a .jsonl file its lines.
std::vector<Prompt> prompts_of(const std::string& file) {
  const std::string text = read_text(file);
  if (!file.ends_with(".jsonl")) return {{fmt::format("{}: prompt 1", file), text, {}}};
  std::vector<Prompt> out;
  int64_t line = 0;
  for (size_t begin = 0, end; begin < text.size(); begin = end + 1) {
    end = std::min(text.find('\n', begin), text.size());
    ++line;
    const auto row = std::string_view(text).substr(begin, end - begin);
    if (row.find_first_not_of(" \t\r") == row.npos) continue;
    out.push_back(prompt_of(Json::parse(row, nullptr, false), fmt::format("{}: line {}", file, line)));
  }
  INTERPLAY_CHECK_DATA(!out.empty(), "{}: has no prompts; expected one a line", file);
  return out;
}

}  // namespace

void PromptArguments::add(CLI::App& app) {
  app.add_option("--prompt", prompts, "a prompt, control tokens included (may be given again)")
      ->allow_extra_args(false);
  app.add_option("--prompt-file", file,
                 "a prompt, which is the file's text as it is, control tokens included; or a .jsonl file, of which "
                 "each line is a JSON string, or an object with a 'prompt', or one with 'messages' (role, content) for "
                 "the model's chat frame");
  app.add_flag("--chat", chat, "prompts are a user's message, which the model's own chat frame goes around");
  app.add_option("--system", system, "with --chat: the system's message in place of the model's own");
}

std::vector<lm::TokenIds> PromptArguments::read(const std::filesystem::path& model,
                                                const lm::Tokenizer& tokenizer) const {
  INTERPLAY_CHECK(prompts.empty() != file.empty(), "{}",
                  prompts.empty() ? "--prompt T or --prompt-file F is required: the prompts"
                                  : "--prompt and --prompt-file are both given; give one");
  INTERPLAY_CHECK(system.empty() || chat, "--system: is a part of the chat frame; expected --chat beside it");
  std::vector<Prompt> all;
  if (!file.empty()) all = prompts_of(file);
  for (const auto& text : prompts) all.push_back({fmt::format("prompt {}", all.size() + 1), text, {}});
  const bool framed = chat || std::any_of(all.begin(), all.end(), [](const auto& p) { return !p.messages.empty(); });
  const auto frame = framed ? std::optional(lm::ChatFrame::load(model)) : std::nullopt;
  const auto ids_of = [&](const Prompt& prompt) {
    if (!prompt.messages.empty()) return frame->encode(tokenizer, prompt.messages);
    INTERPLAY_CHECK_DATA(!prompt.text.empty(), "is empty; expected a text");
    if (!chat) return tokenizer.encode(prompt.text, {.control = true, .frame = true});
    std::vector<lm::ChatMessage> messages;
    if (!system.empty()) messages.push_back({"system", system});
    messages.push_back({"user", prompt.text});
    return frame->encode(tokenizer, messages);
  };
  std::vector<lm::TokenIds> out;
  for (const auto& prompt : all) out.push_back(with_place(prompt.place, [&] { return ids_of(prompt); }));
  return out;
}

}  // namespace interplay::tool
