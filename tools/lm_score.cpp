// interplay lm score MODEL: the logits and probabilities of a few answers after a prompt.
#include <algorithm>
#include <optional>

#include <ATen/ATen.h>
#include <nlohmann/json.hpp>

#include <interplay/base/error.h>
#include <interplay/base/files.h>
#include <interplay/base/with_place.h>
#include <interplay/lm/chat.h>
#include <interplay/lm/model_files.h>
#include <interplay/lm/scorer.h>
#include <interplay/lm/tokenizer.h>

#include "lm.h"

namespace interplay::tool {
namespace {

using Json = nlohmann::ordered_json;

struct Arguments {
  std::string model, prompt_file, system, adapter, precision = "fp32";
  std::vector<std::string> answers;
  bool chat = false, json = false;
  int64_t batch_tokens = lm::ScoreOptions().batch_tokens;
};

/// The prompts of a file: all of it as it is, or of a .jsonl file those of its lines, a string or {"prompt": ..} each.
std::vector<std::string> prompts_of(const std::string& file) {
  const std::string text = read_text(file);
  if (!file.ends_with(".jsonl")) return {text};
  std::vector<std::string> out;
  int64_t line = 0;
  for (size_t begin = 0, end; begin < text.size(); begin = end + 1) {
    end = std::min(text.find('\n', begin), text.size());
    ++line;
    const auto row = std::string_view(text).substr(begin, end - begin);
    if (row.find_first_not_of(" \t\r") == row.npos) continue;
    const auto json = Json::parse(row, nullptr, false);
    const bool object = json.is_object() && json.contains("prompt") && json["prompt"].is_string();
    INTERPLAY_CHECK_DATA(json.is_string() || object,
                         "{}: line {}: expected a JSON string, or an object with a string 'prompt'", file, line);
    out.push_back(object ? json["prompt"].get<std::string>() : json.get<std::string>());
  }
  INTERPLAY_CHECK_DATA(!out.empty(), "{}: has no prompts; expected one a line", file);
  return out;
}

/// The token that each answer begins with.
std::vector<int64_t> answer_tokens(const lm::Tokenizer& tokenizer, const std::vector<std::string>& answers) {
  std::vector<int64_t> out;
  for (const auto& answer : answers) {
    const auto ids = tokenizer.encode(answer, {.control = true});
    INTERPLAY_CHECK(!ids.empty(), "--answers: an empty answer; expected texts with commas between them, as Yes,No");
    const auto same = std::find(out.begin(), out.end(), ids[0]);
    INTERPLAY_CHECK(same == out.end(),
                    "--answers: '{}' and '{}' begin with the same token '{}'; expected different ones",
                    answers[size_t(same - out.begin())], answer, tokenizer.token(ids[0]));
    out.push_back(ids[0]);
  }
  return out;
}

std::vector<lm::TokenIds> encode(const Arguments& a, const std::filesystem::path& model, const lm::Tokenizer& tokenizer,
                                 const std::vector<std::string>& prompts) {
  const auto frame = a.chat ? std::optional(lm::ChatFrame::load(model)) : std::nullopt;
  const auto ids_of = [&](const std::string& prompt) {
    INTERPLAY_CHECK_DATA(!prompt.empty(), "is empty; expected a text");
    if (!frame) return tokenizer.encode(prompt, {.control = true, .frame = true});
    std::vector<lm::ChatMessage> messages;
    if (!a.system.empty()) messages.push_back({"system", a.system});
    messages.push_back({"user", prompt});
    return frame->encode(tokenizer, messages);
  };
  std::vector<lm::TokenIds> out;
  for (const auto& p : prompts) {
    out.push_back(with_place(fmt::format("{}: prompt {}", a.prompt_file, out.size() + 1), [&] { return ids_of(p); }));
  }
  return out;
}

Json to_json(const at::Tensor& row) {
  return std::vector<float>(row.const_data_ptr<float>(), row.const_data_ptr<float>() + row.numel());
}

void run(const Arguments& a) {
  INTERPLAY_CHECK(a.system.empty() || a.chat, "--system: is a part of the chat frame; expected --chat beside it");
  const auto model = lm::find_model(a.model);
  const auto prompts = prompts_of(a.prompt_file);
  const auto tokenizer = lm::Tokenizer::load(model);
  const auto answers = answer_tokens(*tokenizer, a.answers);
  const auto ids = encode(a, model, *tokenizer, prompts);
  lm::Decoder decoder = lm::load_decoder(model, nn::parse_precision(a.precision));
  if (!a.adapter.empty()) decoder->load_adapters(a.adapter);
  lm::DecoderScorer scorer(decoder);
  const auto logits = scorer.answers(ids, answers, {.batch_tokens = a.batch_tokens, .progress = true});
  const auto p = logits.softmax(1);
  if (a.json) {
    for (size_t i = 0; i < ids.size(); ++i) {
      fmt::print("{}\n", Json{{"ids", ids[i]},
                              {"answers", a.answers},
                              {"answer_ids", answers},
                              {"logits", to_json(logits[int64_t(i)])},
                              {"probabilities", to_json(p[int64_t(i)])}}
                             .dump());
    }
    return;
  }
  std::vector<std::vector<std::string>> rows{{"prompt", "tokens", "answer", "token", "id", "logit", "probability"}};
  for (size_t i = 0; i < ids.size(); ++i) {
    for (size_t k = 0; k < answers.size(); ++k) {
      rows.push_back({fmt::format("{}", i + 1), fmt::format("{}", ids[i].size()), a.answers[k],
                      std::string(tokenizer->token(answers[k])), fmt::format("{}", answers[k]),
                      fmt::format("{:.4f}", logits[int64_t(i)][int64_t(k)].item<float>()),
                      fmt::format("{:.4f}", p[int64_t(i)][int64_t(k)].item<float>())});
    }
  }
  fmt::print("{}", table(rows));
}

std::function<void()> add(CLI::App& app) {
  auto a = std::make_shared<Arguments>();
  app.add_option("MODEL", a->model, "a fetched name, a GGUF file or a folder")->required();
  app.add_option(
         "--prompt-file", a->prompt_file,
         "a prompt, which is the file's text as it is, control tokens included; or a .jsonl file, of which each "
         "line is a JSON string or an object with a 'prompt'")
      ->required();
  app.add_option("--answers", a->answers, "answers, with commas between them; the first token of each counts")
      ->required()
      ->delimiter(',')
      ->allow_extra_args(false);
  app.add_flag("--chat", a->chat, "prompts are a user's message, which the model's own chat frame goes around");
  app.add_option("--system", a->system, "with --chat: the system's message in place of the model's own");
  app.add_option("--adapter", a->adapter, "adapters to use, a .safetensors file");
  app.add_option("--precision", a->precision, "of the weights")
      ->check(CLI::IsMember({"auto", "fp32", "bf16"}))
      ->capture_default_str();
  app.add_option("--batch-tokens", a->batch_tokens, "most tokens that are read at once")
      ->capture_default_str()
      ->check(at_least(1));
  app.add_flag("--json", a->json, "for machines: a line of ids, logits and probabilities for each prompt");
  return [a] { run(*a); };
}

const AddCommand command("lm score", "logits and probabilities of a few answers after a prompt", add);

}  // namespace
}  // namespace interplay::tool
