#pragma once

#include <filesystem>
#include <string>

#include <interplay/base/config.h>
#include <interplay/data/schema.h>

namespace interplay {

/// What run directories of every kind (train, search) are opened with.

/// The first key at which two trees differ, or "".
std::string first_difference(const Config& a, const Config& b);
/// Nothing, or what a write that was cut short left aside.
bool holds_nothing(const std::filesystem::path& directory);
/// The schema of prepared data, as far as an experiment's `fields:` leave it.
Schema read_schema(const std::filesystem::path& data, const Config& fields);

}  // namespace interplay
