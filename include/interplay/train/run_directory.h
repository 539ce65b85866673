#pragma once

#include <filesystem>
#include <string>

#include <interplay/base/api.h>
#include <interplay/base/config.h>
#include <interplay/base/files.h>
#include <interplay/data/schema.h>

namespace interplay {

/// What run directories of every kind (train, search) are opened with.

/// The first key at which two trees differ, or "".
INTERPLAY_API std::string first_difference(const Config& a, const Config& b);
/// Refuses a directory that cannot be begun or, with `resume`, gone on with, or that another process writes, before
/// anything in it is touched. `kind`: run or search, for messages. `holds`: what one with a config.yaml holds, and what
/// to do about it.
INTERPLAY_API DirectoryLock lock_directory(const std::filesystem::path& out, bool resume, const std::string& kind,
                                           const std::string& holds);
/// manifest.json of a directory that holds runs below `runs`, of which each has a manifest of its own, whose checksum
/// is here: the last thing that is written.
INTERPLAY_API void finish_directory(const std::filesystem::path& out, const std::string& runs);
/// Where sums are taken, and so the last digits of what is learnt.
struct Computing {
  int threads;
  std::string kernels, precision;
  static INTERPLAY_API Computing now(const std::string& precision);
  bool operator==(const Computing&) const = default;
};
/// Warns where a run that goes on was begun in another way than it goes on.
INTERPLAY_API void warn_of_other(const Computing& begun, const Computing& now);
/// The schema of prepared data, as far as an experiment's `fields:` leave it.
INTERPLAY_API Schema read_schema(const std::filesystem::path& data, const Config& fields);

}  // namespace interplay
