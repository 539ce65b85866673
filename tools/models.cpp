// interplay models [NAME]: what can be trained, and with which options.
#include <nlohmann/json.hpp>

#include <interplay/core/loss.h>
#include <interplay/core/metric.h>
#include <interplay/core/model.h>
#include <interplay/optim/optimizer.h>
#include <interplay/optim/schedule.h>
#include <interplay/search/search.h>

#include "command.h"

namespace interplay::tool {
namespace {

using Json = nlohmann::ordered_json;

template <class R>
void list(const R& registry, bool json) {
  std::vector<std::vector<std::string>> rows{{registry.kind(), "what it is"}};
  Json out = Json::array();
  for (const auto& name : registry.names()) {
    const auto& entry = registry.find(Config::scalar(name, true));
    rows.push_back({name, entry.doc});
    out.push_back({{"name", name}, {"doc", entry.doc}, {"from", entry.origin}});
  }
  fmt::print("{}", json ? out.dump(1) + "\n" : table(rows));
}

template <class R>
void describe(const R& registry, const std::string& name, bool json) {
  const auto& entry = registry.find(Config::scalar(name, true));
  auto lines = entry.options();
  if (registry.kind() == "optimizer") {  // what every group of parameters takes beside its optimizer's own
    const auto common = describe_options<GroupOptions>();
    lines.insert(lines.begin(), common.begin(), common.end());
  }
  std::vector<std::vector<std::string>> rows{{"option", "type", "default", "what it is"}};
  Json options = Json::array();
  for (const auto& o : lines) {
    rows.push_back({o.name, o.type, o.value, o.limits.empty() ? o.doc : fmt::format("{} ({})", o.doc, o.limits)});
    options.push_back({{"name", o.name}, {"type", o.type}, {"default", o.value}, {"doc", o.doc}, {"limits", o.limits}});
  }
  if (json) {
    fmt::print("{}\n", Json{{"name", name}, {"doc", entry.doc}, {"from", entry.origin}, {"options", options}}.dump(1));
  } else {
    fmt::print("{}: {}\nfrom {}\n\n{}", name, entry.doc, entry.origin, rows.size() > 1 ? table(rows) : "no options\n");
  }
}

std::function<void()> add(CLI::App& app) {
  struct Arguments {
    std::string name, of = "models";
    bool json = false;
  };
  auto a = std::make_shared<Arguments>();
  app.add_option("NAME", a->name, "print its options");
  app.add_option("--of", a->of, "what to list")
      ->check(CLI::IsMember({"models", "optimizers", "losses", "metrics", "schedules", "searches"}))
      ->capture_default_str();
  app.add_flag("--json", a->json, "for machines");
  return [a] {
    const auto show = [&](const auto& registry) {
      a->name.empty() ? list(registry, a->json) : describe(registry, a->name, a->json);
    };
    if (a->of == "optimizers") return show(optimizers());
    if (a->of == "losses") return show(losses());
    if (a->of == "metrics") return show(metrics());
    if (a->of == "schedules") return show(schedules());
    if (a->of == "searches") return show(searches());
    show(models());
  };
}

const AddCommand command("models", "list models, or print the options of one", add);

}  // namespace
}  // namespace interplay::tool
