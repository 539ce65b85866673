// Declared options as tables and JSON, for `interplay models` and `interplay help`.
#include "options.h"

#include "command.h"

namespace interplay::tool {

std::string plural(const std::string& kind) {
  return kind + (kind.ends_with("s") || kind.ends_with("ch") ? "es" : "s");
}

const AnyRegistry* find_registry(const std::string& kind) {
  for (const AnyRegistry* registry : all_registries()) {
    if (registry->kind() == kind || plural(registry->kind()) == kind) return registry;
  }
  return nullptr;
}

std::vector<OptionLine> options_of(const AnyRegistry& registry, const std::string& name) {
  std::vector<OptionLine> lines;
  for (const Section& section : all_sections()) {
    if (section.name != registry.kind()) continue;
    const auto common = section.options();
    lines.insert(lines.end(), common.begin(), common.end());
  }
  const auto own = registry.about(name).options();
  lines.insert(lines.end(), own.begin(), own.end());
  return lines;
}

std::string option_table(const std::vector<OptionLine>& options) {
  if (options.empty()) return "no options\n";
  std::vector<std::vector<std::string>> rows{{"option", "type", "default", "what it is"}};
  for (const auto& o : options) {
    const std::string limits = o.limits.empty() ? "" : fmt::format(" ({})", o.limits);
    const std::string when = o.when.empty() ? "" : fmt::format("; with {}", o.when);
    rows.push_back({o.name, o.type, o.value, o.doc + limits + when});
  }
  return table(rows);
}

nlohmann::ordered_json option_json(const std::vector<OptionLine>& options) {
  auto out = nlohmann::ordered_json::array();
  for (const auto& o : options) {
    out.push_back({{"name", o.name}, {"type", o.type}, {"default", o.value}, {"doc", o.doc}, {"limits", o.limits}});
    if (!o.when.empty()) out.back()["when"] = o.when;
  }
  return out;
}

}  // namespace interplay::tool
