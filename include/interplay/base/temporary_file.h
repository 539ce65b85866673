#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>

#include <interplay/base/api.h>

namespace interplay {

/// Bytes on disk that are gone with the object, or with the process however it ends: the file has no name.
/// Thread safety: parts that do not overlap may be written and read at once. Failures are Error(data).
class INTERPLAY_API TemporaryFile {
 public:
  explicit TemporaryFile(const std::filesystem::path& directory);  ///< an existing folder with room
  ~TemporaryFile();
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;

  void write(std::span<const char> bytes, int64_t at);
  void read(std::span<char> bytes, int64_t at) const;

 private:
  std::string directory_;
  int descriptor_ = -1;
};

}  // namespace interplay
