#include <chrono>
#include <map>
#include <optional>

#include <nlohmann/json.hpp>

#include <interplay/base/error.h>
#include <interplay/lm/generator.h>

namespace interplay::lm {
namespace {

using Json = nlohmann::ordered_json;

/// All that decides an answer beside the model, as the cache's prompt.
std::string key_of(const LmPrompt& prompt, const GenerateOptions& o) {
  Json key{{"ids", prompt.ids}, {"temperature", o.temperature}};
  if (o.temperature > 0) key.update({{"top_k", o.top_k}, {"top_p", o.top_p}, {"seed", o.seed}, {"draw", prompt.draw}});
  if (o.choices.empty()) {
    key.update({{"max_tokens", o.max_tokens}, {"stop", o.stop}});
  } else {
    key["choices"] = o.choices;
  }
  return key.dump();
}

std::string to_bytes(const Generated& answer) {
  return Json{{"text", answer.text},
              {"ids", answer.ids},
              {"finish", int(answer.finish)},
              {"choice", answer.choice},
              {"log_p", answer.log_p}}
      .dump();
}

/// None where the bytes are not what to_bytes() writes: they are then asked for anew.
std::optional<Generated> from_bytes(std::string_view bytes, const GenerateOptions& options) try {
  const auto json = Json::parse(bytes);
  Generated out;
  out.text = json.at("text").get<std::string>();
  out.ids = json.at("ids").get<TokenIds>();
  const int finish = json.at("finish").get<int>();
  if (finish < 0 || finish > int(Finish::choice)) return std::nullopt;
  out.finish = Finish(finish);
  out.choice = json.at("choice").get<int64_t>();
  out.log_p = json.at("log_p").get<std::vector<double>>();
  if (out.choice < -1 || out.choice >= int64_t(options.choices.size())) return std::nullopt;
  return out;
} catch (const nlohmann::json::exception&) {
  return std::nullopt;
}

}  // namespace

CachedGenerator::CachedGenerator(LmGenerator& generator, const std::filesystem::path& directory)
    : generator_(generator), cache_(directory, generator.identity()) {}

void CachedGenerator::generate_each(std::span<const LmPrompt> prompts, const GenerateOptions& options, const Use& use) {
  check(options);
  constexpr std::chrono::seconds kBetweenSaves{20};  // most work that an interruption costs
  std::vector<LmPrompt> missing;
  std::vector<std::string> keys;
  std::vector<std::vector<int64_t>> places;  // of each that is missing
  std::map<std::string, size_t, std::less<>> seen;
  for (size_t i = 0; i < prompts.size(); ++i) {
    std::string key = key_of(prompts[i], options);
    const auto known = cache_.find(key);
    if (auto answer = known ? from_bytes(*known, options) : std::nullopt) {
      use(int64_t(i), std::move(*answer));
      continue;
    }
    const auto [found, is_new] = seen.emplace(key, missing.size());
    if (is_new) missing.push_back(prompts[i]), keys.push_back(std::move(key)), places.emplace_back();
    places[found->second].push_back(int64_t(i));
  }
  if (missing.empty()) return;
  auto saved = std::chrono::steady_clock::now();
  const auto keep = [&](int64_t m, const Generated& answer) {
    cache_.put(keys[size_t(m)], to_bytes(answer));
    ++generated_;
    for (const int64_t place : places[size_t(m)]) use(place, answer);
    if (std::chrono::steady_clock::now() - saved < kBetweenSaves) return;
    cache_.save();
    saved = std::chrono::steady_clock::now();
  };
  try {
    generator_.generate_each(missing, options, keep);
  } catch (...) {
    cache_.save();  // what there is by now
    throw;
  }
  cache_.save();
}

}  // namespace interplay::lm
