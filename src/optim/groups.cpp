#include "optim/groups.h"

#include <algorithm>

#include <interplay/base/section.h>
#include <interplay/optim/schedule.h>

namespace interplay {
namespace {

INTERPLAY_SECTION("optimizer", GroupOptions, "a group of `optimizer:` in an experiment, whatever its rule");

const std::vector<std::string> kGroupKeys{"lr", "l1", "l2", "mode", "schedule"};

bool is_of_group(const std::string& key) {
  return std::find(kGroupKeys.begin(), kGroupKeys.end(), key) != kGroupKeys.end();
}

/// A key is read by the group or by its rule: what neither knows is told with the names of both.
void check_keys(const Config& group, const std::string& name) {
  std::vector<std::string> known = kGroupKeys;
  for (const auto& option : update_rules().find(group).options()) known.push_back(option.name);
  for (const auto& key : group.keys()) {
    if (key != "name" && std::find(known.begin(), known.end(), key) == known.end())
      detail::unknown_key(group, key, known, fmt::format("optimizer group '{}'", name));
  }
}

void collect_names(const torch::nn::Module& module, const std::string& prefix, const std::string& inherited,
                   std::map<std::string, std::string>& names) {
  const auto* const grouped = dynamic_cast<const nn::HasGroup*>(&module);
  const std::string group = grouped ? grouped->parameter_group() : inherited;
  for (const auto& p : module.named_parameters(false)) names[prefix + p.key()] = group;
  if (dynamic_cast<const nn::EmbeddingImpl*>(&module)) names[prefix + "weight"] = group == kDense ? kEmbedding : group;
  for (const auto& child : module.named_children())
    collect_names(*child.value(), prefix + child.key() + ".", group, names);
}

/// A group with every default written out.
Config resolve_group(const std::string& name, Config group) {
  if (group.is_scalar()) {
    Config named;
    named.set("name", group);
    group = named;
  }
  if (!group.has("name")) group.set("name", Config::scalar("adam", true));
  check_keys(group, name);
  GroupOptions options;
  read_options(options, group_config(group));
  if (!options.schedule.is_null()) options.schedule = schedules().resolve(options.schedule);
  Config resolved;
  const Config rule = update_rules().resolve(rule_config(group));
  resolved.set("name", rule["name"]);
  const Config common = write_options(options);
  for (const auto& key : common.keys()) resolved.set_key(key, common[key]);
  for (const auto& key : rule.keys()) resolved.set_key(key, rule[key]);
  return resolved;
}

}  // namespace

Config rule_config(const Config& group) {
  Config rest = group;
  for (const auto& key : kGroupKeys) rest.erase(key);
  return rest;
}

Config group_config(const Config& group) {
  Config out = group;  // what stays knows where it was written
  for (const auto& key : group.keys()) {
    if (!is_of_group(key)) out.erase(key);
  }
  return out;
}

std::map<std::string, std::string> group_names(const torch::nn::Module& module) {
  std::map<std::string, std::string> names;
  collect_names(module, "", kDense, names);
  return names;
}

Config Optimizer::resolve(const Config& config) {
  Config given = config;
  if (!given.has(kDense)) given.set(kDense, Config::parse("{name: adam}"));
  if (!given.has(kEmbedding)) given.set(kEmbedding, given[kDense]);  // as dense, unless said otherwise
  Config out;
  for (const auto& name : given.keys()) out.set_key(name, resolve_group(name, given[name]));
  return out;
}

}  // namespace interplay
