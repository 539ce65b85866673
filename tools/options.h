#pragma once

#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include <interplay/base/section.h>

namespace interplay::tool {

/// A kind of registered things by its own name or in the plural: `loss`, `losses`.
std::string plural(const std::string& kind);
const AnyRegistry* find_registry(const std::string& kind);  ///< null where there is none

/// What an entry of a registry is set by: what every one of its kind takes (a section of that name), then its own.
std::vector<OptionLine> options_of(const AnyRegistry& registry, const std::string& name);

std::string option_table(const std::vector<OptionLine>& options);
nlohmann::ordered_json option_json(const std::vector<OptionLine>& options);

}  // namespace interplay::tool
