#pragma once

#include <string>

#include <interplay/base/error.h>

namespace interplay {

/// Calls `use`, and gives what it gives; an Error of it names `place` first.
template <class Use>
decltype(auto) with_place(const std::string& place, const Use& use) {
  try {
    return use();
  } catch (const Error& problem) {
    throw Error(fmt::format("{}: {}", place, problem.what()), problem.kind());
  }
}

}  // namespace interplay
