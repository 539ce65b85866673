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

/// Files that are whole or absent: everything is written beside its place, synced, and renamed into it. Whatever cannot
/// be written (no space, a quota, a size limit, a bad device) is an Error(data) that names the file, and leaves what
/// was there before.

/// `bytes` as a whole file. Two writers of one file wait for one another; the last one's bytes stay.
INTERPLAY_API void write_file(const std::filesystem::path& file, std::string_view bytes);
INTERPLAY_API std::string read_file(const std::filesystem::path& file);  ///< throws Error(data) naming the file
INTERPLAY_API void make_directories(
    const std::filesystem::path& directory);                      ///< with those above; may be there already
INTERPLAY_API void sync_path(const std::filesystem::path& path);  ///< fsync of a file or a directory

/// A file being written piece by piece, in place. Not thread-safe.
class INTERPLAY_API OutputFile {
 public:
  enum class Mode {
    replace,  ///< begins empty
    append,   ///< goes on behind what is there
  };
  explicit OutputFile(std::filesystem::path file, Mode mode = Mode::replace);
  ~OutputFile();
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;

  void write(std::string_view bytes);  ///< all of them, or Error
  void write_at(std::string_view bytes, int64_t offset);
  int64_t size() const { return size_; }  ///< bytes; what write() has written, in append mode on top of what was there
  void sync();
  void close();  ///< reports what the destructor could not; nothing can be written afterwards
  const std::filesystem::path& path() const { return path_; }

 private:
  friend class NewFile;
  OutputFile(std::filesystem::path file, int descriptor);
  std::filesystem::path path_;
  int descriptor_ = -1;
  int64_t size_ = 0;
};

/// Keeps other processes from writing a directory while it lives. The lock is the system's own (flock) and leaves no
/// file: it goes with the process, however that ends. Readers need none. A directory that is not there is made, and
/// goes away again with the lock where it stayed empty. Throws Error where another process holds it, by its number.
class INTERPLAY_API DirectoryLock {
 public:
  explicit DirectoryLock(std::filesystem::path directory);
  ~DirectoryLock();
  DirectoryLock(DirectoryLock&& other) noexcept;
  DirectoryLock& operator=(DirectoryLock&&) = delete;

 private:
  std::filesystem::path directory_;
  int descriptor_ = -1;
  bool made_ = false;
};

/// A file on its way to `target`: written beside it under another name, put in its place by commit(), and removed where
/// that is not reached. Throws Error where another process is writing the same target.
class INTERPLAY_API NewFile {
 public:
  explicit NewFile(std::filesystem::path target);
  ~NewFile();
  OutputFile& out() { return *out_; }
  const std::filesystem::path& path() const { return out_->path(); }  ///< where it is being written
  void commit();                                                      ///< syncs, and replaces what was at `target`

 private:
  friend void write_file(const std::filesystem::path& file, std::string_view bytes);
  NewFile(std::filesystem::path target, bool wait);
  std::filesystem::path target_;
  std::unique_ptr<OutputFile> out_;
  bool done_ = false;
};

/// A directory on its way to `target`, as NewFile is. It begins empty, and its parents are made.
class INTERPLAY_API NewDirectory {
 public:
  explicit NewDirectory(std::filesystem::path target);
  ~NewDirectory();
  NewDirectory(const NewDirectory&) = delete;
  NewDirectory& operator=(const NewDirectory&) = delete;
  const std::filesystem::path& path() const { return path_; }  ///< where it is being made
  /// Syncs all that is in it, and puts it in place. A directory that was there is replaced in one step: who opens a
  /// file finds it in the old or in the new one, and who has one open keeps it.
  void commit();

 private:
  void replace_in_two_steps();
  std::filesystem::path target_, path_;
  std::unique_ptr<DirectoryLock> lock_;
  bool done_ = false;
};

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
  void put(const std::filesystem::path& directory, const std::string& file);  ///< a file as it is now
  void erase(const std::string& file);                                        ///< may not be listed

  /// 1, or 2 where it lists what a program that knows format 1 alone would leave unread, and be wrong for it.
  int format() const { return format_; }
  void set_format(int format) { format_ = format; }

 private:
  int format_ = 1;
  std::vector<Entry> entries_;
};

}  // namespace interplay
