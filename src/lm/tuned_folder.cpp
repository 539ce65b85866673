#include <interplay/lm/tuned_folder.h>

#include <algorithm>

#include <interplay/base/config.h>
#include <interplay/base/files.h>
#include <interplay/lm/model_files.h>

#include "lm/json_file.h"

namespace interplay::lm {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr std::string_view kPassage = "passage";
constexpr int64_t kMostExperts = 1024, kMostWidth = 1 << 20, kMostTokens = 1 << 24;

bool is_tuned(const fs::path& folder) { return fs::is_regular_file(folder / TunedFolder::kFile); }

TunedFolder load(const fs::path& folder) {
  const fs::path file = folder / TunedFolder::kFile;
  return with_json(file, "description of a tuned model", [&](const nlohmann::json& json) {
    const auto count = [&](const nlohmann::json& at, const char* key, int64_t least, int64_t most) {
      const auto found = at.at(key).get<int64_t>();
      INTERPLAY_CHECK_DATA(found >= least && found <= most, "{}: {} is {}; expected {} to {}", file.string(), key,
                           found, least, most);
      return found;
    };
    INTERPLAY_CHECK_DATA(json.at("format") == 1, "{}: format {}; expected 1", file.string(), json.at("format").dump());
    TunedFolder out;
    out.folder = folder;
    out.base = json.at("base").get<std::string>();
    if (!json.at("experts").is_null()) {
      const auto& experts = json.at("experts");
      out.experts =
          ExpertCounts{count(experts, "embedding", 0, kMostExperts), count(experts, "shared", 0, kMostExperts),
                       count(experts, "generation", 0, kMostExperts)};
      out.router_width = count(json, "router_width", 1, kMostWidth);
    }
    for (const auto& task : json.at("tasks")) {
      TunedTask one;
      one.name = task.at("name").get<std::string>();
      one.family = parse_task_family(task.at("family").get<std::string>());
      one.frame = task.at("frame").get<std::string>();
      one.instruction = task.at("instruction").get<std::string>();
      one.passage_instruction = task.at("passage_instruction").get<std::string>();
      one.max_tokens = count(task, "max_tokens", 1, kMostTokens);
      one.passage_tokens = count(task, "passage_tokens", 1, kMostTokens);
      out.tasks.push_back(std::move(one));
    }
    INTERPLAY_CHECK_DATA(!out.tasks.empty(), "{}: names no task", file.string());
    return out;
  });
}

}  // namespace

fs::path TunedFolder::model() const {
  INTERPLAY_CHECK_DATA(!find(base), "{}: was tuned from {}, which is a tuned model itself; such are not read",
                       folder.string(), base);
  return find_model(base);
}

const char* to_string(TaskFamily family) { return family == TaskFamily::embedding ? "embedding" : "generation"; }

TaskFamily parse_task_family(std::string_view name) {
  INTERPLAY_CHECK(name == "embedding" || name == "generation",
                  "'{}' is no family of tasks; expected embedding or generation", name);
  return name == "embedding" ? TaskFamily::embedding : TaskFamily::generation;
}

std::optional<TunedFolder> TunedFolder::find(const fs::path& name) {
  if (is_tuned(name)) return load(name);
  std::string text = name.string();
  const bool passages = text.ends_with(":" + std::string(kPassage));
  if (passages) text.resize(text.size() - kPassage.size() - 1);
  const size_t colon = text.rfind(':');
  if (colon == text.npos || !is_tuned(text.substr(0, colon))) return std::nullopt;
  TunedFolder out = load(text.substr(0, colon));
  const std::string wanted = text.substr(colon + 1);
  std::vector<std::string> names;
  for (size_t i = 0; i < out.tasks.size(); ++i) {
    names.push_back(out.tasks[i].name);
    if (out.tasks[i].name == wanted) out.task = i;
  }
  const std::string close = nearest(wanted, names);
  INTERPLAY_CHECK(out.task, "{}: was tuned for no task '{}'{} (tasks: {})", out.folder.string(), wanted,
                  close.empty() ? "" : fmt::format("; did you mean {}?", close), fmt::join(names, ", "));
  INTERPLAY_CHECK(!passages || out.named()->family == TaskFamily::embedding,
                  "{}: '{}' is a task of generation, which has no passages; leave :{} away", out.folder.string(),
                  wanted, kPassage);
  out.passages = passages;
  return out;
}

void TunedFolder::save() const {
  Json json{{"format", 1}, {"base", base}};
  if (experts) {
    json["experts"] = {
        {"embedding", experts->embedding}, {"shared", experts->shared}, {"generation", experts->generation}};
    json["router_width"] = router_width;
  } else {
    json["experts"] = nullptr;
  }
  json["tasks"] = Json::array();
  for (const auto& task : tasks) {
    json["tasks"].push_back({{"name", task.name},
                             {"family", to_string(task.family)},
                             {"frame", task.frame},
                             {"instruction", task.instruction},
                             {"passage_instruction", task.passage_instruction},
                             {"max_tokens", task.max_tokens},
                             {"passage_tokens", task.passage_tokens}});
  }
  write_file(folder / kFile, json.dump(1) + "\n");
}

std::vector<fs::path> TunedFolder::files() const {
  if (!experts) return {folder / kAdapters};
  return {folder / kAdapters, folder / kRouter};
}

std::string TunedFolder::selection() const {
  if (!task) return "";
  return passages ? fmt::format("{}:{}", named()->name, kPassage) : named()->name;
}

}  // namespace interplay::lm
