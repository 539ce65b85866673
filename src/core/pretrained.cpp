#include "core/pretrained.h"

#include <map>

#include <interplay/base/error.h>
#include <interplay/base/registry.h>

namespace interplay {

std::string module_name(std::string name) {
  for (size_t at = 0; (at = name.find('.', at)) != std::string::npos; at += 3) name.replace(at, 1, "%2E");
  return name;
}

Pretrained pretrained_of(const Field& field) {
  Pretrained out;
  read_options(out, field.pretrained);
  return out;
}

bool has_mode(const Field& field, const char* mode) {
  return field.pretrained.size() > 0 && pretrained_of(field).mode == mode;
}

std::string vector_name(const Field& field) { return field.name + ".vector"; }

std::shared_ptr<Augmenter> make_augmenter(const Schema& schema, const Config& config, int64_t width) {
  auto made = augmenters().make(schema, width, config);
  INTERPLAY_CHECK(made->count() >= 1 && made->width() >= 1, "fields.augment: '{}' gives {} vectors of {} numbers",
                  config["name"].as<std::string>(), made->count(), made->width());
  return made;
}

std::vector<std::string> augmenter_names(const Schema& schema) {
  std::vector<std::string> out;
  if (schema.augment.size() == 0) return out;
  std::map<std::string, int> seen;
  for (const Config& entry : schema.augment.items()) {
    const auto name = name_in(entry);
    const int nth = ++seen[name];
    out.push_back(nth == 1 ? name : fmt::format("{}_{}", name, nth));
  }
  return out;
}

std::string augmenter_module(const std::string& name) { return "augment_" + module_name(name); }

}  // namespace interplay
