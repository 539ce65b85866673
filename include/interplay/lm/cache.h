#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include <interplay/base/files.h>

namespace interplay::lm {

/// What a language model has answered, kept on disk, so that nothing is asked of it twice. An answer is any bytes; its
/// key is a hash of 128 bits over who was asked (`identity`: model checksum, adapter, settings) and the prompt.
///
/// A directory of files that are whole or absent and never change: each save() adds one, so that several processes may
/// write at once. A file that was damaged is left out with a warning; what was in it is asked anew.
///
/// Used by one thread at a time.
///
///     lm::LmCache cache("cache", encoder.identity());
///     if (const auto known = cache.find(text)) ...
///     cache.put(text, answer);
///     cache.save();
class INTERPLAY_API LmCache {
 public:
  LmCache(const std::filesystem::path& directory, std::string_view identity);
  ~LmCache();  ///< what was put and not saved is lost
  LmCache(const LmCache&) = delete;
  LmCache& operator=(const LmCache&) = delete;

  /// The answer, if there is one; valid until the next put() of the same prompt.
  std::optional<std::string_view> find(std::string_view prompt) const;
  void put(std::string_view prompt, std::string answer);
  void save();  ///< writes what was put since

  int64_t size() const { return int64_t(stored_.size() + fresh_.size()); }  ///< answers, of whatever identity

 private:
  using Key = std::pair<uint64_t, uint64_t>;
  struct Hash {
    size_t operator()(const Key& key) const { return size_t(key.first); }
  };
  Key key_of(std::string_view prompt) const;
  void open(const std::filesystem::path& file);

  std::filesystem::path directory_;
  uint64_t seed_;
  std::vector<std::unique_ptr<MappedFile>> files_;
  std::unordered_map<Key, std::string_view, Hash> stored_;
  std::map<Key, std::string> fresh_;  // sorted: equal contents make equal files
};

}  // namespace interplay::lm
