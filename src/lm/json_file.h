#pragma once

#include <filesystem>

#include <nlohmann/json.hpp>

#include <interplay/base/error.h>
#include <interplay/base/files.h>

namespace interplay::lm {

/// Calls `use` with the value that a JSON file holds; an Error(data) names the file and `kind`, what it should be,
/// where it is no JSON or `use` misses an entry.
template <class Use>
auto with_json(const std::filesystem::path& file, const char* kind, const Use& use) {
  try {
    return use(nlohmann::json::parse(read_file(file)));
  } catch (const nlohmann::json::exception& problem) {
    throw Error(fmt::format("{}: is no {}: {}", file.string(), kind, problem.what()), ErrorKind::data);
  }
}

}  // namespace interplay::lm
