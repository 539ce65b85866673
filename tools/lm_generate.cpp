// interplay lm generate MODEL: what a language model goes on with from prompts.
#include <filesystem>
#include <map>
#include <optional>

#include <nlohmann/json.hpp>

#include <interplay/base/error.h>
#include <interplay/base/files.h>
#include <interplay/base/log.h>
#include <interplay/lm/generator.h>
#include <interplay/lm/model_files.h>

#include "lm.h"
#include "lm_prompt_arguments.h"

namespace interplay::tool::lm_generate_command {
namespace {

using Json = nlohmann::ordered_json;

struct Arguments {
  std::string model, adapter, precision = "fp32", cache, out;
  PromptArguments prompts;
  lm::GenerateOptions options;
  std::vector<std::string> choices;
  bool force = false, json = false;
};

std::string part_of(const Arguments& a) { return a.out + ".part"; }

/// Equal prompts are drawn anew each.
std::vector<lm::LmPrompt> with_draws(std::vector<lm::TokenIds> ids) {
  std::vector<lm::LmPrompt> out;
  std::map<lm::TokenIds, uint64_t> seen;
  for (auto& one : ids) {
    const uint64_t draw = seen[one]++;
    out.push_back({std::move(one), draw});
  }
  return out;
}

std::string to_line(const Arguments& a, const lm::LmPrompt& prompt, const lm::Generated& answer) {
  Json line{{"text", answer.text},
            {"finish", lm::to_string(answer.finish)},
            {"prompt_tokens", prompt.ids.size()},
            {"tokens", answer.ids.size()},
            {"ids", answer.ids}};
  if (answer.choice >= 0) line.update(Json{{"choices", a.choices}, {"choice", answer.choice}, {"log_p", answer.log_p}});
  return line.dump() + "\n";
}

/// What is known already comes from --cache, and what is new goes there. Without one but with --out, an interrupted run
/// leaves what it has beside the file, and the next one goes on from there.
std::vector<lm::Generated> generate(const Arguments& a, lm::LmGenerator& generator,
                                    std::span<const lm::LmPrompt> prompts) {
  const std::string directory = a.cache.empty() && !a.out.empty() ? part_of(a) : a.cache;
  if (directory.empty()) return generator.generate(prompts, a.options);
  lm::CachedGenerator cached(generator, directory);
  auto answers = cached.generate(prompts, a.options);
  if (!a.cache.empty() || cached.generated() < int64_t(prompts.size()))
    log::info("{}: {} of {} prompts were not in it", directory, cached.generated(), prompts.size());
  return answers;
}

void print(std::span<const lm::Generated> answers) {
  for (size_t i = 0; i < answers.size(); ++i) {
    const size_t tokens = answers[i].ids.size();
    if (answers.size() > 1)
      fmt::print("{}prompt {}, {} token{}, {}:\n", i > 0 ? "\n" : "", i + 1, tokens, tokens == 1 ? "" : "s",
                 lm::to_string(answers[i].finish));
    fmt::print("{}\n", answers[i].text);
  }
}

void run(Arguments& a) {
  if (!a.out.empty()) check_out(a.out, a.force);
  const auto model = lm::find_model(a.model);
  lm::check(a.options);  // before the long part
  const auto generator = lm::load_generator(model, {nn::parse_precision(a.precision), a.adapter});
  const auto prompts = with_draws(a.prompts.read(model, generator->tokenizer()));
  for (const auto& choice : a.choices)
    a.options.choices.push_back(generator->tokenizer().encode(choice, {.control = true}));
  a.options.progress = true;
  const auto answers = generate(a, *generator, prompts);
  if (a.out.empty() && !a.json) return print(answers);
  std::string lines;
  for (size_t i = 0; i < prompts.size(); ++i) lines += to_line(a, prompts[i], answers[i]);
  if (a.out.empty()) return fmt::print("{}", lines);
  write_file(a.out, lines);
  std::filesystem::remove_all(part_of(a));
}

void add_options(CLI::App& app, Arguments& a) {
  auto& o = a.options;
  app.add_option("--max-tokens", o.max_tokens, "most tokens of an answer")->check(at_least(1))->capture_default_str();
  app.add_option("--temperature", o.temperature, "logits are divided by it before one is drawn; 0 = the likeliest")
      ->capture_default_str();
  app.add_option("--top-k", o.top_k, "only the likeliest K tokens are drawn; 0 = all")
      ->check(at_least(0))
      ->capture_default_str();
  app.add_option("--top-p", o.top_p, "of these, only the likeliest that together have this probability")
      ->capture_default_str();
  app.add_option("--seed", o.seed, "of what is drawn")->capture_default_str();
  app.add_option("--stop", o.stop, "a text that ends an answer and is no part of it (may be given again)")
      ->allow_extra_args(false);
  app.add_option("--choices", a.choices, "the answer is one of these, with commas between them")
      ->delimiter(',')
      ->allow_extra_args(false);
  app.add_option("--batch", o.batch, "answers that are written at once")->check(at_least(1))->capture_default_str();
}

std::function<void()> add(CLI::App& app) {
  auto a = std::make_shared<Arguments>();
  app.add_option("MODEL", a->model, "a fetched name, a GGUF file or a folder")->required();
  a->prompts.add(app);
  add_options(app, *a);
  app.add_option("--adapter", a->adapter, "adapters to use, a .safetensors file");
  app.add_option("--precision", a->precision, "of the weights")
      ->check(CLI::IsMember({"auto", "fp32", "bf16"}))
      ->capture_default_str();
  app.add_option("--cache", a->cache, "directory of answers that are known already; new ones are added");
  auto* const out =
      app.add_option("--out", a->out, "file of a JSON line an answer; an interrupted run is gone on with");
  app.add_flag("--force", a->force, "replace what is at --out")->needs(out);
  app.add_flag("--json", a->json, "for machines: a line {text, finish, prompt_tokens, tokens, ids} an answer");
  return [a] { run(*a); };
}

const AddCommand command("lm generate", "what a language model goes on with from prompts", add);

}  // namespace
}  // namespace interplay::tool::lm_generate_command
