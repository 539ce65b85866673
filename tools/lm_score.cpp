// interplay lm score MODEL: the logits and probabilities of a few answers after a prompt.
#include <algorithm>

#include <ATen/ATen.h>
#include <nlohmann/json.hpp>

#include <interplay/base/error.h>
#include <interplay/lm/model_files.h>
#include <interplay/lm/scorer.h>
#include <interplay/lm/tokenizer.h>

#include "lm.h"
#include "lm_prompt_arguments.h"

namespace interplay::tool::lm_score_command {
namespace {

using Json = nlohmann::ordered_json;

struct Arguments {
  std::string model, adapter, precision = "fp32";
  PromptArguments prompts;
  std::vector<std::string> answers;
  bool json = false;
  int64_t batch_tokens = lm::ScoreOptions().batch_tokens;
};

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

Json to_json(const at::Tensor& row) {
  return std::vector<float>(row.const_data_ptr<float>(), row.const_data_ptr<float>() + row.numel());
}

void run(const Arguments& a) {
  const auto model = lm::find_model(a.model);
  const auto tokenizer = lm::Tokenizer::load(model);
  const auto answers = answer_tokens(*tokenizer, a.answers);
  const auto ids = a.prompts.read(model, *tokenizer);
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
  a->prompts.add(app);
  app.add_option("--answers", a->answers, "answers, with commas between them; the first token of each counts")
      ->required()
      ->delimiter(',')
      ->allow_extra_args(false);
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
}  // namespace interplay::tool::lm_score_command
