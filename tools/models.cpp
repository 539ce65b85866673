// interplay models [NAME]: what can be trained, and with which options.
#include <nlohmann/json.hpp>

#include <interplay/core/model.h>

#include "command.h"
#include "options.h"

namespace interplay::tool::models_command {
namespace {

using Json = nlohmann::ordered_json;

void list(const AnyRegistry& registry, bool json) {
  std::vector<std::vector<std::string>> rows{{registry.kind(), "what it is"}};
  Json out = Json::array();
  for (const auto& name : registry.names()) {
    const auto about = registry.about(name);
    rows.push_back({name, about.doc});
    out.push_back({{"name", name}, {"doc", about.doc}, {"from", about.origin}});
  }
  fmt::print("{}", json ? out.dump(1) + "\n" : table(rows));
}

void describe(const AnyRegistry& registry, const std::string& name, bool json) {
  const auto about = registry.about(name);
  const auto options = options_of(registry, name);
  if (json) {
    const Json out{{"name", name}, {"doc", about.doc}, {"from", about.origin}, {"options", option_json(options)}};
    fmt::print("{}\n", out.dump(1));
  } else {
    fmt::print("{}: {}\nfrom {}\n\n{}", name, about.doc, about.origin, option_table(options));
  }
}

std::function<void()> add(CLI::App& app) {
  struct Arguments {
    std::string name, of = "models";
    bool json = false;
  };
  auto a = std::make_shared<Arguments>();
  std::vector<std::string> kinds;
  for (const AnyRegistry* registry : all_registries()) kinds.push_back(plural(registry->kind()));
  std::sort(kinds.begin(), kinds.end());
  app.add_option("NAME", a->name, "print its options");
  app.add_option("--of", a->of, "what to list")->check(CLI::IsMember(kinds))->capture_default_str();
  app.add_flag("--json", a->json, "for machines");
  return [a] {
    const AnyRegistry& registry = *find_registry(a->of);
    a->name.empty() ? list(registry, a->json) : describe(registry, a->name, a->json);
  };
}

const AddCommand command("models", "list models, or print the options of one", add);

}  // namespace
}  // namespace interplay::tool::models_command
