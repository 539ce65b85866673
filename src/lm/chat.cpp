#include <interplay/lm/chat.h>

#include <interplay/base/error.h>
#include <interplay/lm/gguf.h>
#include <interplay/lm/tokenizer.h>
#include <interplay/lm/tuned_folder.h>

#include "lm/json_file.h"

namespace interplay::lm {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kStart = "<|im_start|>", kEnd = "<|im_end|>";

/// A template is Jinja, which writes a line break as `\n` or as it is.
std::string unescape(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    const bool escape = text[i] == '\\' && i + 1 < text.size();
    if (escape) ++i;
    out += escape && text[i] == 'n' ? '\n' : text[i];
  }
  return out;
}

}  // namespace

ChatFrame ChatFrame::load(const fs::path& model) {
  if (const auto tuned = TunedFolder::find(model)) return load(tuned->model());
  if (!fs::is_directory(model))
    return from_template(Gguf(model).text("tokenizer.chat_template"), model.string() + ": tokenizer.chat_template");
  const fs::path own = model / "chat_template.jinja", settings = model / "tokenizer_config.json";
  if (fs::exists(own)) return from_template(read_file(own), own.string());
  INTERPLAY_CHECK_DATA(fs::exists(settings),
                       "{}: has neither chat_template.jinja nor tokenizer_config.json, so that its frame of a chat is "
                       "not known; write it into the prompts",
                       model.string());
  return with_json(settings, "tokenizer_config.json with a chat_template", [&](const nlohmann::json& json) {
    const std::string place = settings.string() + ": chat_template";
    INTERPLAY_CHECK_DATA(json.contains("chat_template"), "{}: there is none; this is no chat model", place);
    const auto& found = json.at("chat_template");
    if (found.is_string()) return from_template(found.get<std::string>(), place);
    for (const auto& one : found) {  // several with names
      if (one.at("name") == "default") return from_template(one.at("template").get<std::string>(), place);
    }
    throw Error(place + ": none of its templates is called 'default'", ErrorKind::data);
  });
}

// Jinja is not run: a template that writes ChatML is known by its marks, and the one text that it brings along, the
// system's, stands between them.
ChatFrame ChatFrame::from_template(std::string_view chat_template, const std::string& place) {
  const std::string plain = unescape(chat_template);
  INTERPLAY_CHECK_DATA(plain.find(std::string(kStart) + "assistant\n") != plain.npos && plain.find(kEnd) != plain.npos,
                       "{}: does not write ChatML ({}ROLE ... {}); other frames are not known", place, kStart, kEnd);
  const std::string head = std::string(kStart) + "system\n";
  for (size_t at = plain.find(head); at != plain.npos; at = plain.find(head, at + 1)) {
    const size_t begin = at + head.size(), end = plain.find(kEnd, begin);
    // A quote or brace first: here the template puts a message's own text.
    if (end != plain.npos && end > begin && std::string_view("'\"{").find(plain[begin]) == std::string_view::npos)
      return ChatFrame(plain.substr(begin, end - begin));
  }
  return ChatFrame();
}

std::vector<ChatMessage> ChatFrame::turns(std::span<const ChatMessage> messages) const {
  std::vector<ChatMessage> out;
  const bool own = !messages.empty() && messages[0].role == "system";
  if (!own && !default_system_.empty()) out.push_back({"system", default_system_});
  for (const auto& message : messages) {
    INTERPLAY_CHECK(message.role == "system" || message.role == "user" || message.role == "assistant",
                    "'{}' is no role in a chat; expected system, user or assistant", message.role);
    out.push_back(message);
  }
  return out;
}

std::string ChatFrame::text(std::span<const ChatMessage> messages, bool answer) const {
  std::string out;
  for (const auto& [role, content] : turns(messages)) out += fmt::format("{}{}\n{}{}\n", kStart, role, content, kEnd);
  return answer ? out + fmt::format("{}assistant\n", kStart) : out;
}

std::vector<int64_t> ChatFrame::encode(const Tokenizer& tokenizer, std::span<const ChatMessage> messages,
                                       bool answer) const {
  const auto encode_text = [&](std::string_view text, std::vector<int64_t>& ids) {
    const auto more = tokenizer.encode(text);
    ids.insert(ids.end(), more.begin(), more.end());
  };
  return encode(tokenizer, messages, encode_text, answer);
}

std::vector<int64_t> ChatFrame::encode(const Tokenizer& tokenizer, std::span<const ChatMessage> messages,
                                       const EncodeText& text, bool answer) const {
  const int64_t start = tokenizer.id(kStart), end = tokenizer.id(kEnd);
  std::vector<int64_t> ids;
  const auto put = [&](std::string_view said) { text(said, ids); };
  for (const auto& [role, content] : turns(messages)) {
    ids.push_back(start);
    put(role + "\n" + content);
    ids.push_back(end);
    put("\n");
  }
  if (answer) {
    ids.push_back(start);
    put("assistant\n");
  }
  return ids;
}

}  // namespace interplay::lm
