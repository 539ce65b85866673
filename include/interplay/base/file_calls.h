#pragma once

#include <filesystem>
#include <string>

#include <sys/types.h>

#include <interplay/base/api.h>

namespace interplay::detail {

/// The system calls that change files, in one place, so that tests can put others there that fail. Whatever Interplay
/// writes goes through them. They are called from several threads.
struct FileCalls {
  int (*open)(const char* path, int flags, mode_t mode);
  ssize_t (*write)(int descriptor, const void* bytes, size_t count);
  ssize_t (*pwrite)(int descriptor, const void* bytes, size_t count, off_t offset);
  int (*fsync)(int descriptor);
  int (*rename)(const char* from, const char* to, unsigned flags);  // flags as those of renameat2()
};
INTERPLAY_API FileCalls& file_calls();

/// Writes all bytes, however often the system takes a part or is interrupted; `offset` < 0: behind what was written
/// before. Returns 0, or the errno of what failed.
INTERPLAY_API int write_all(int descriptor, const char* bytes, size_t count, off_t offset = -1);

/// What an errno of writing means and what to do: "No space left on device; make room, or write to another disk".
INTERPLAY_API std::string why_not_written(int error);

/// The name that a path has once what it is made in, `.NAME.partial`, is in its place: what a message should say.
INTERPLAY_API std::string final_name(const std::filesystem::path& path);

}  // namespace interplay::detail
