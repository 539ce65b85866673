#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <interplay/base/api.h>

namespace interplay {

/// Files that are whole or absent: everything is written beside its place, synced, and renamed into it.

INTERPLAY_API void write_file(const std::filesystem::path& file, std::string_view bytes);
INTERPLAY_API std::string read_file(const std::filesystem::path& file);  ///< throws Error(data) naming the file
INTERPLAY_API void sync_path(const std::filesystem::path& path);         ///< fsync of a file or a directory

/// The name under which `target` is being written (same folder, so that rename() is atomic).
INTERPLAY_API std::filesystem::path aside(const std::filesystem::path& target);
/// Syncs what was written at aside(target) (a file, or a directory with all its files) and renames it to `target`,
/// replacing a file; a directory in the way is removed first.
INTERPLAY_API void commit(const std::filesystem::path& target);

/// A file mapped read-only. Immutable, so it may be read from any thread.
class INTERPLAY_API MappedFile {
 public:
  explicit MappedFile(const std::filesystem::path& file);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;
  std::string_view bytes() const { return {data_, size_}; }
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
  const char* data_ = nullptr;
  size_t size_ = 0;
};

INTERPLAY_API uint64_t hash64(std::string_view bytes, uint64_t seed = 0);  ///< xxh3
INTERPLAY_API uint64_t hash64_file(const std::filesystem::path& file);     ///< xxh3 of a whole file, streamed

/// Size and checksum of every file of a directory, in its `manifest.json`, so that an altered byte is found.
class INTERPLAY_API Manifest {
 public:
  struct Entry {
    std::string file;  ///< relative to the directory
    int64_t bytes = 0;
    uint64_t xxh3 = 0;
    std::vector<uint64_t> blocks;  ///< optional: one checksum per record batch
  };
  /// Describes every regular file below `directory` but manifest.json itself. Known files keep their blocks, and those
  /// that have any and are as long as told keep their checksum: it is not computed once more.
  static Manifest describe(const std::filesystem::path& directory, std::vector<Entry> known = {},
                           const std::function<bool(const std::string&)>& include = nullptr);
  static Manifest load(const std::filesystem::path& directory);
  void save(const std::filesystem::path& directory) const;
  /// Throws Error(data) naming the first file that is missing, of another size, or (with `contents`) altered.
  void check(const std::filesystem::path& directory, bool contents) const;
  const Entry* find(const std::string& file) const;
  const std::vector<Entry>& entries() const { return entries_; }

 private:
  std::vector<Entry> entries_;
};

}  // namespace interplay
