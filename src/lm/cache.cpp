#include <interplay/lm/cache.h>

#include <cstring>

#include <interplay/base/error.h>
#include <interplay/base/log.h>

namespace interplay::lm {
namespace {

namespace fs = std::filesystem;

// A file: the mark, then key (two u64), length (u64) and bytes of each answer, then xxh3 of all before it.
constexpr std::string_view kMark = "IPLMC001";
constexpr const char* kExtension = ".lmcache";

template <class T>
void append(std::string& out, T value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof value);
}

uint64_t u64_at(std::string_view bytes, size_t at) {
  uint64_t value = 0;
  std::memcpy(&value, bytes.data() + at, sizeof value);
  return value;
}

}  // namespace

LmCache::LmCache(const fs::path& directory, std::string_view identity)
    : directory_(directory), seed_(hash64(identity)) {
  std::error_code problem;
  fs::create_directories(directory, problem);
  INTERPLAY_CHECK_DATA(!problem && fs::is_directory(directory), "{}: is no directory and cannot be made one: {}",
                       directory.string(), problem.message());
  for (const auto& entry : fs::directory_iterator(directory)) {
    if (entry.path().extension() == kExtension) open(entry.path());
  }
}

LmCache::~LmCache() = default;

void LmCache::open(const fs::path& path) {
  auto file = std::make_unique<MappedFile>(path);
  const std::string_view bytes = file->bytes();
  const size_t end = bytes.size() >= kMark.size() + 8 ? bytes.size() - 8 : 0;
  if (end == 0 || !bytes.starts_with(kMark) || u64_at(bytes, end) != hash64(bytes.substr(0, end))) {
    log::warning("{}: was cut or altered, and is left out; remove it", path.string());
    return;
  }
  for (size_t at = kMark.size(); at + 24 <= end;) {
    const Key key{u64_at(bytes, at), u64_at(bytes, at + 8)};
    const uint64_t length = u64_at(bytes, at + 16);
    if (length > end - at - 24) break;  // cannot be where the checksum holds, unless the writer was another
    stored_[key] = bytes.substr(at + 24, length);
    at += 24 + length;
  }
  files_.push_back(std::move(file));
}

LmCache::Key LmCache::key_of(std::string_view prompt) const { return {hash64(prompt, seed_), hash64(prompt, ~seed_)}; }

std::optional<std::string_view> LmCache::find(std::string_view prompt) const {
  const Key key = key_of(prompt);
  if (const auto fresh = fresh_.find(key); fresh != fresh_.end()) return fresh->second;
  const auto stored = stored_.find(key);
  return stored == stored_.end() ? std::nullopt : std::optional(stored->second);
}

void LmCache::put(std::string_view prompt, std::string answer) { fresh_[key_of(prompt)] = std::move(answer); }

void LmCache::save() {
  if (fresh_.empty()) return;
  std::string bytes(kMark);
  for (const auto& [key, answer] : fresh_) {
    append(bytes, key.first);
    append(bytes, key.second);
    append(bytes, uint64_t(answer.size()));
    bytes += answer;
  }
  const uint64_t checksum = hash64(bytes);
  append(bytes, checksum);
  const fs::path file = directory_ / fmt::format("{:016x}{}", checksum, kExtension);
  write_file(file, bytes);
  fresh_.clear();
  open(file);
}

}  // namespace interplay::lm
