#include <interplay/base/temporary_file.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>

#include <fcntl.h>
#include <unistd.h>

#include <interplay/base/error.h>
#include <interplay/base/file_calls.h>

namespace interplay {

TemporaryFile::TemporaryFile(const std::filesystem::path& directory) : directory_(detail::final_name(directory)) {
  std::string name = (directory / "temporary-XXXXXX").string();
  descriptor_ = ::mkostemp(name.data(), O_CLOEXEC);
  INTERPLAY_CHECK_DATA(descriptor_ >= 0, "{}: a temporary file cannot be made there: {}", directory_,
                       std::strerror(errno));
  ::unlink(name.c_str());
}

TemporaryFile::~TemporaryFile() { ::close(descriptor_); }

void TemporaryFile::write(std::span<const char> bytes, int64_t at) {
  const int error = detail::write_all(descriptor_, bytes.data(), bytes.size(), at);
  INTERPLAY_CHECK_DATA(error == 0, "{}: a temporary file cannot be written there: {}", directory_,
                       detail::why_not_written(error));
}

void TemporaryFile::read(std::span<char> bytes, int64_t at) const {
  while (!bytes.empty()) {
    const auto got = ::pread(descriptor_, bytes.data(), bytes.size(), at);
    if (got < 0 && errno == EINTR) continue;
    INTERPLAY_CHECK_DATA(got > 0, "{}: a temporary file cannot be read there: {}", directory_,
                         got < 0 ? std::strerror(errno) : "it was cut while in use");
    bytes = bytes.subspan(size_t(got));
    at += got;
  }
}

}  // namespace interplay
