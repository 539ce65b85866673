#include <interplay/base/files.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <sstream>
#include <utility>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <interplay/base/error.h>
#include <interplay/base/file_calls.h>
#include <interplay/base/log.h>

namespace fs = std::filesystem;

namespace interplay {
namespace detail {

FileCalls& file_calls() {
  static FileCalls calls{[](const char* path, int flags, mode_t mode) { return ::open(path, flags, mode); }, ::write,
                         ::pwrite, ::fsync,
                         [](const char* from, const char* to, unsigned flags) {
                           return flags == 0 ? ::rename(from, to) : ::renameat2(AT_FDCWD, from, AT_FDCWD, to, flags);
                         }};
  return calls;
}

int write_all(int descriptor, const char* bytes, size_t count, off_t offset) {
  while (count > 0) {
    const ssize_t wrote = offset < 0 ? file_calls().write(descriptor, bytes, count)
                                     : file_calls().pwrite(descriptor, bytes, count, offset);
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote < 0) return errno;
    if (wrote == 0) return ENOSPC;  // what a device that takes nothing more says otherwise
    bytes += wrote;
    count -= size_t(wrote);
    if (offset >= 0) offset += wrote;
  }
  return 0;
}

std::string why_not_written(int error) {
  const char* const remedy = error == ENOSPC || error == EDQUOT ? "; make room, or write to another disk"
                             : error == EFBIG                   ? "; see `ulimit -f`"
                                                                : "";
  return std::strerror(error) + std::string(remedy);
}

std::string final_name(const fs::path& path) {
  constexpr std::string_view kEnd = ".partial";
  fs::path out;
  for (const auto& part : path) {
    const std::string name = part.string();
    const bool aside = name.size() > 1 + kEnd.size() && name.starts_with('.') && name.ends_with(kEnd);
    out /= aside ? name.substr(1, name.size() - 1 - kEnd.size()) : name;
  }
  return out.string();
}

}  // namespace detail

namespace {

using detail::file_calls;

[[noreturn]] void fail(const fs::path& path, std::string_view what, int error) {
  throw Error(fmt::format("{}: {}: {}", detail::final_name(path), what, detail::why_not_written(error)),
              ErrorKind::data);
}

void sync_descriptor(int descriptor, const fs::path& path, bool directory) {
  int result;
  do {
    result = file_calls().fsync(descriptor);
  } while (result != 0 && errno == EINTR);
  const bool unknown = directory && (errno == EINVAL || errno == ENOTSUP || errno == EBADF);  // to its file system
  if (result != 0 && !unknown) fail(path, "cannot be written to the disk", errno);
}

/// The folder that holds a path, "." where it names none.
fs::path folder_of(const fs::path& path) {
  const fs::path parent = path.parent_path();
  return parent.empty() ? "." : parent;
}

/// Without a slash at its end; where it is a link, what it leads to: that is replaced, the link stays.
fs::path place_of(const fs::path& target) {
  const fs::path plain = target.has_filename() ? target : target.parent_path();
  std::error_code ignored;
  if (!fs::is_symlink(plain, ignored)) return plain;
  const fs::path real = fs::canonical(plain, ignored);
  return ignored ? plain : real;
}

fs::path beside(const fs::path& target) {
  return target.parent_path() / ("." + target.filename().string() + ".partial");
}

/// Of who holds the flock on this file: " (process 1234)", or "" where the system does not say.
std::string holder_of(int descriptor) {
  struct stat own {};
  if (::fstat(descriptor, &own) != 0) return "";
  std::ifstream locks("/proc/locks");
  for (std::string line; std::getline(locks, line);) {  // 1: FLOCK ADVISORY WRITE 1234 08:01:5678 0 EOF
    std::istringstream words(line);
    std::string number, kind, manner, access, process, file;
    words >> number >> kind >> manner >> access >> process >> file;
    if (kind == "FLOCK" && file.ends_with(fmt::format(":{}", own.st_ino)) && process != "0" && process != "-1")
      return fmt::format(" (process {})", process);
  }
  return "";
}

/// Whether `path` still names what is open: whoever held the lock before may have renamed or removed it.
bool is_still_named(int descriptor, const fs::path& path) {
  struct stat own {
  }, named{};
  return ::fstat(descriptor, &own) == 0 && ::stat(path.c_str(), &named) == 0 && own.st_ino == named.st_ino &&
         own.st_dev == named.st_dev;
}

/// Locks what is open. Throws where another holds the lock, unless `wait`.
void lock(int descriptor, const fs::path& path, bool wait) {
  int result;
  do {
    result = ::flock(descriptor, LOCK_EX | (wait ? 0 : LOCK_NB));
  } while (result != 0 && errno == EINTR);
  if (result == 0) return;
  if (errno == EWOULDBLOCK) {
    throw Error(fmt::format("{}: is being written by another process{}; wait until that has ended, or write elsewhere",
                            detail::final_name(path), holder_of(descriptor)));
  }
  log::debug("{}: cannot be locked here ({}); make sure that no other process writes it", path.string(),
             std::strerror(errno));  // a file system of the network
}

/// Opens and locks by `open`, again where the name has gone to another file in between.
template <class Open>
int open_locked(const fs::path& path, bool wait, Open open) {
  for (;;) {
    const int descriptor = open();
    if (descriptor < 0) {
      if (errno == EINTR) continue;
      fail(path, "cannot be written", errno);
    }
    try {
      lock(descriptor, path, wait);
    } catch (...) {
      ::close(descriptor);
      throw;
    }
    if (is_still_named(descriptor, path)) return descriptor;
    ::close(descriptor);
  }
}

void rename_to(const fs::path& from, const fs::path& to) {
  if (file_calls().rename(from.c_str(), to.c_str(), 0) != 0) fail(to, "cannot be put in place", errno);
}

/// A message names `shown`: who writes a file need not know that its folder is synced too.
void sync(const fs::path& path, const fs::path& shown) {
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  const bool directory = fs::is_directory(path);
  if (descriptor < 0 && directory && errno == EACCES) return;  // may be written, and not listed
  if (descriptor < 0) fail(shown, "cannot be opened to be synced", errno);
  try {
    sync_descriptor(descriptor, shown, directory);
  } catch (...) {
    ::close(descriptor);
    throw;
  }
  ::close(descriptor);
}

/// Every file and directory in it, and itself.
void sync_tree(const fs::path& directory) {
  for (const auto& entry : fs::recursive_directory_iterator(directory)) {
    if (entry.is_regular_file() || entry.is_directory()) sync(entry.path(), entry.path());
  }
  sync(directory, directory);
}

}  // namespace

void sync_path(const fs::path& path) { sync(path, path); }

void make_directories(const fs::path& directory) {
  std::error_code failed;
  fs::create_directories(directory, failed);
  if (failed) fail(directory, "cannot be made", failed.value());
}

OutputFile::OutputFile(fs::path file, Mode mode) : path_(std::move(file)) {
  const int flags = O_WRONLY | O_CREAT | O_CLOEXEC | (mode == Mode::append ? O_APPEND : O_TRUNC);
  do {
    descriptor_ = file_calls().open(path_.c_str(), flags, 0666);
  } while (descriptor_ < 0 && errno == EINTR);
  if (descriptor_ < 0) fail(path_, "cannot be written", errno);
  if (mode == Mode::append) size_ = std::max<int64_t>(0, ::lseek(descriptor_, 0, SEEK_END));
}

OutputFile::OutputFile(fs::path file, int descriptor) : path_(std::move(file)), descriptor_(descriptor) {}

OutputFile::~OutputFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

void OutputFile::write(std::string_view bytes) {
  const int error = detail::write_all(descriptor_, bytes.data(), bytes.size());
  if (error != 0) fail(path_, "cannot be written", error);
  size_ += int64_t(bytes.size());
}

void OutputFile::write_at(std::string_view bytes, int64_t offset) {
  const int error = detail::write_all(descriptor_, bytes.data(), bytes.size(), offset);
  if (error != 0) fail(path_, "cannot be written", error);
}

void OutputFile::sync() { sync_descriptor(descriptor_, path_, /*directory=*/false); }

void OutputFile::close() {
  if (descriptor_ < 0) return;
  const int result = ::close(descriptor_);
  descriptor_ = -1;
  if (result != 0 && errno != EINTR) fail(path_, "cannot be written", errno);
}

DirectoryLock::DirectoryLock(fs::path directory) : directory_(std::move(directory)) {
  descriptor_ = open_locked(directory_, /*wait=*/false, [&] {
    std::error_code failed;
    fs::create_directories(folder_of(directory_), failed);
    if (failed) fail(directory_, "cannot be made", failed.value());
    const bool made = ::mkdir(directory_.c_str(), 0777) == 0;
    if (!made && errno != EEXIST) fail(directory_, "cannot be made", errno);
    made_ = made_ || made;
    int descriptor;
    while ((descriptor = ::open(directory_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0 && errno == ENOENT) {
      if (::mkdir(directory_.c_str(), 0777) == 0) made_ = true;  // who held it before has removed it just now
    }
    return descriptor;
  });
}

DirectoryLock::DirectoryLock(DirectoryLock&& other) noexcept
    : directory_(std::move(other.directory_)), descriptor_(std::exchange(other.descriptor_, -1)), made_(other.made_) {}

DirectoryLock::~DirectoryLock() {
  if (descriptor_ < 0) return;
  if (made_ && is_still_named(descriptor_, directory_)) ::rmdir(directory_.c_str());  // which it refuses if not empty
  ::close(descriptor_);
}

NewFile::NewFile(fs::path target) : NewFile(std::move(target), /*wait=*/false) {}

NewFile::NewFile(fs::path target, bool wait) : target_(place_of(target)) {
  std::error_code ignored;
  const auto there = fs::status(target_, ignored);
  INTERPLAY_CHECK_DATA(!fs::exists(there) || fs::is_regular_file(there), "{}: cannot be written: it is {}; name a file",
                       target_.string(),
                       fs::is_directory(there) ? "a directory" : "a device or pipe, which cannot be replaced");
  const fs::path path = beside(target_);
  const int descriptor =
      open_locked(path, wait, [&] { return file_calls().open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0666); });
  out_.reset(new OutputFile(path, descriptor));
  if (::ftruncate(descriptor, 0) != 0) fail(path, "cannot be written", errno);
}

NewFile::~NewFile() {
  if (!done_ && out_) ::unlink(out_->path().c_str());
}

void NewFile::commit() {
  out_->sync();
  rename_to(out_->path(), target_);
  done_ = true;
  sync(folder_of(target_), target_);
  out_->close();
}

void write_file(const fs::path& file, std::string_view bytes) {
  NewFile whole(file, /*wait=*/true);
  whole.out().write(bytes);
  whole.commit();
}

NewDirectory::NewDirectory(fs::path target) : target_(place_of(target)), path_(beside(target_)) {
  INTERPLAY_CHECK(!fs::exists(target_) || fs::is_directory(target_), "{}: is a file; name a directory",
                  target_.string());
  lock_ = std::make_unique<DirectoryLock>(path_);
  std::error_code failed;
  for (const auto& left : fs::directory_iterator(path_, failed)) {  // of a process that was killed
    if (!failed) fs::remove_all(left.path(), failed);
  }
  if (failed) fail(target_, "cannot be made", failed.value());
}

NewDirectory::~NewDirectory() {
  std::error_code ignored;
  if (!done_) fs::remove_all(path_, ignored);
}

void NewDirectory::commit() {
  sync_tree(path_);
  if (!fs::is_directory(target_)) {
    rename_to(path_, target_);
    done_ = true;
  } else {
    // Held, so that nobody takes the old one, which gets the name of the new one, for a begun one of his own.
    const DirectoryLock old(target_);
    if (file_calls().rename(path_.c_str(), target_.c_str(), RENAME_EXCHANGE) == 0) {
      done_ = true;
      std::error_code ignored;
      fs::remove_all(path_, ignored);
    } else {
      if (errno != EINVAL && errno != ENOSYS) fail(target_, "cannot be put in place", errno);
      replace_in_two_steps();
    }
  }
  sync(folder_of(target_), target_);
  lock_.reset();
}

void NewDirectory::replace_in_two_steps() {  // where the file system cannot exchange two names
  const fs::path old = target_.parent_path() / ("." + target_.filename().string() + ".old");
  std::error_code ignored;
  fs::remove_all(old, ignored);
  rename_to(target_, old);
  if (file_calls().rename(path_.c_str(), target_.c_str(), 0) != 0) {
    const int error = errno;
    ::rename(old.c_str(), target_.c_str());
    fail(target_, "cannot be put in place", error);
  }
  done_ = true;
  fs::remove_all(old, ignored);
}

}  // namespace interplay
