#pragma once

#include <span>
#include <string>

#include <interplay/base/error.h>
#include <interplay/data/field_kind.h>

namespace interplay {

/// The events of a field of kind history, for another kind that reads them too. Throws Error at `at`, where `name` is
/// written, naming those that there are.
inline PastEvents find_past(std::span<const PastEvents> past, const std::string& name, const Config& at) {
  std::vector<std::string> names;
  for (const PastEvents& each : past) {
    if (each.name == name) return each;
    names.push_back(each.name);
  }
  at.fail(fmt::format("there is no history '{}' (histories: {})", name, fmt::join(names, ", ")));
}

}  // namespace interplay
