// interplay help [TOPIC]: every key of a part of a configuration, from the declarations that its parser reads.
#include <set>

#include "command.h"
#include "options.h"

namespace interplay::tool::help_command {
namespace {

using Json = nlohmann::ordered_json;

/// A heading and the options below it.
struct Part {
  std::string name, doc;
  std::vector<OptionLine> options;
};

/// Sections of this name, then everything that is registered under it.
std::vector<Part> parts_of(const std::string& topic) {
  const AnyRegistry* const registry = find_registry(topic);
  std::vector<Part> parts;
  for (const Section& section : all_sections()) {
    if (section.name == (registry ? registry->kind() : topic))
      parts.push_back({section.name, section.doc, section.options()});
  }
  if (!registry) return parts;
  for (const auto& name : registry->names()) {
    const auto about = registry->about(name);
    parts.push_back({name, about.doc, about.options()});
  }
  return parts;
}

/// Topic and what it is about.
std::map<std::string, std::string> topics() {
  std::map<std::string, std::string> out;
  for (const Section& section : all_sections()) {
    std::string& doc = out[section.name];
    doc += (doc.empty() ? "" : "; ") + section.doc;
  }
  for (const AnyRegistry* registry : all_registries()) {
    std::string& doc = out[registry->kind()];
    doc += fmt::format("{}every {} and its options", doc.empty() ? "" : "; ", registry->kind());
  }
  return out;
}

void list(bool json) {
  std::vector<std::vector<std::string>> rows{{"topic", "whose keys `interplay help TOPIC` prints"}};
  Json out = Json::array();
  for (const auto& [topic, doc] : topics()) {
    rows.push_back({topic, doc});
    out.push_back({{"topic", topic}, {"doc", doc}});
  }
  fmt::print("{}", json ? out.dump(1) + "\n" : table(rows));
}

void print(const std::string& topic, bool json) {
  const auto parts = parts_of(topic);
  if (parts.empty()) {
    std::vector<std::string> known;
    for (const auto& [name, doc] : topics()) known.push_back(name);
    const std::string close = nearest(topic, known);
    throw Error(fmt::format("there is no topic '{}'{} (topics: {})", topic,
                            close.empty() ? "" : fmt::format("; did you mean {}?", close), fmt::join(known, ", ")));
  }
  Json out = Json::array();
  std::string text;
  for (const Part& part : parts) {
    out.push_back({{"name", part.name}, {"doc", part.doc}, {"options", option_json(part.options)}});
    text += fmt::format("{}{}: {}\n\n{}", text.empty() ? "" : "\n", part.name, part.doc, option_table(part.options));
  }
  fmt::print("{}", json ? out.dump(1) + "\n" : text);
}

std::function<void()> add(CLI::App& app) {
  struct Arguments {
    std::string topic;
    bool json = false;
  };
  auto a = std::make_shared<Arguments>();
  app.add_option("TOPIC", a->topic, "a part of a configuration, or a command; without one, all topics");
  app.add_flag("--json", a->json, "for machines");
  return [a, &app] {
    for (const CLI::App* command : app.get_parent()->get_subcommands({})) {
      if (command->get_name() == a->topic && parts_of(a->topic).empty())
        return fmt::print("{}", command->help(app.get_parent()->get_name()));
    }
    a->topic.empty() ? list(a->json) : print(a->topic, a->json);
  };
}

const AddCommand command("help", "print the keys of data.yaml, of experiments, and of what they name", add);

}  // namespace
}  // namespace interplay::tool::help_command
