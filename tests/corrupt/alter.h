#pragma once

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <functional>
#include <string>
#include <vector>

#include <fmt/format.h>

namespace interplay::testing {

inline std::string bytes_of(const std::filesystem::path& file) {
  std::ifstream in(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

/// A new file in the place of the old: some file systems write a truncated one to the disk at once.
inline void put_bytes(const std::filesystem::path& file, const std::string& bytes) {
  std::filesystem::remove(file);
  std::ofstream(file, std::ios::binary | std::ios::trunc).write(bytes.data(), std::streamsize(bytes.size()));
}

/// Every regular file below a directory, by its name there.
inline std::vector<std::string> files_below(const std::filesystem::path& directory) {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(directory)) {
    if (entry.is_regular_file()) names.push_back(std::filesystem::relative(entry.path(), directory).generic_string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

/// How many places of a file are altered.
struct Places {
  size_t every_below = 2048;  ///< every byte of a file that is smaller
  size_t cuts = 60, flips = 100;
};

/// 0 .. size - 1, or `most` of them: both ends and what lies evenly between.
inline std::vector<size_t> spread(size_t size, size_t every_below, size_t most) {
  std::vector<size_t> out;
  const bool every = size < every_below || size <= most;
  const size_t count = every ? size : most;
  for (size_t i = 0; i < count; ++i) out.push_back(every ? i : i * (size - 1) / (count - 1));
  return out;
}

/// Calls `with` for a file cut at many lengths and with one bit flipped at many places; `what` says which.
inline void each_alteration(const std::string& bytes, const Places& places,
                            const std::function<void(const std::string& what, const std::string& altered)>& with) {
  for (const size_t length : spread(bytes.size(), places.every_below, places.cuts))
    with(fmt::format("cut to {} of {} bytes", length, bytes.size()), bytes.substr(0, length));
  for (const size_t place : spread(bytes.size(), places.every_below, places.flips)) {
    const size_t bit = (5 * place + place / 8) % 8;
    std::string altered = bytes;
    altered[place] = char(altered[place] ^ (1 << bit));
    with(fmt::format("bit {} of byte {} flipped", bit, place), altered);
  }
}

}  // namespace interplay::testing
