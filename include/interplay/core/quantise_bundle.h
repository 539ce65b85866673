#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include <interplay/core/bundle.h>

namespace interplay {

struct QuantisedBytes {
  int64_t before = 0, after = 0;  ///< of the tables alone
};

/// A run like another whose tables are of another type (nn::quantised_types()), in a directory of its own: scored and
/// served as it is, evaluated and begun with as if it had been unpacked. What only a training that goes on needs is
/// left behind. Throws Error(data) where its tables are quantised already.
INTERPLAY_API QuantisedBytes quantise_bundle(const Bundle& from, const std::string& type,
                                             const std::filesystem::path& to);

}  // namespace interplay
