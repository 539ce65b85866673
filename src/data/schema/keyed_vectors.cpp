#include <interplay/data/keyed_vectors.h>

#include <cmath>

#include <interplay/base/error.h>
#include <interplay/base/files.h>

#include "data/schema/token_index.h"

namespace fs = std::filesystem;

namespace interplay {

struct KeyedVectors::State {
  fs::path file;
  int64_t width = 0;
  TokenIndex keys;
  std::vector<float> values;  // [count, width]
  uint64_t checksum = 0;      // a sum, so that order does not count
};

KeyedVectors::KeyedVectors(fs::path file) : state_(std::make_unique<State>()) { state_->file = std::move(file); }
KeyedVectors::~KeyedVectors() = default;
KeyedVectors::KeyedVectors(KeyedVectors&&) noexcept = default;
KeyedVectors& KeyedVectors::operator=(KeyedVectors&&) noexcept = default;

void KeyedVectors::add(std::string_view key, std::span<const float> vector) {
  State& s = *state_;
  const int64_t row = count() + 1;
  INTERPLAY_CHECK_DATA(!key.empty(), "{}: row {} has no key; every vector needs one", s.file.string(), row);
  INTERPLAY_CHECK_DATA(!vector.empty(), "{}: row {} ('{}') has no numbers; leave rows without a vector out",
                       s.file.string(), row, key);
  if (s.width == 0) s.width = int64_t(vector.size());
  INTERPLAY_CHECK_DATA(int64_t(vector.size()) == s.width,
                       "{}: row {} ('{}') has {} numbers, those before it {}; all vectors of a file are of one width",
                       s.file.string(), row, key, vector.size(), s.width);
  for (size_t k = 0; k < vector.size(); ++k) {
    INTERPLAY_CHECK_DATA(std::isfinite(vector[k]),
                         "{}: row {} ('{}'): its number {} is {}; every number has to be finite", s.file.string(), row,
                         key, k, vector[k]);
  }
  const uint32_t at = s.keys.insert(key);
  INTERPLAY_CHECK_DATA(int64_t(at) + 1 == row, "{}: rows {} and {} have the same key '{}'; keep one of them",
                       s.file.string(), at + 1, row, key);
  s.values.insert(s.values.end(), vector.begin(), vector.end());
  s.checksum += hash64({reinterpret_cast<const char*>(vector.data()), vector.size_bytes()}, hash64(key));
}

int64_t KeyedVectors::count() const { return int64_t(state_->keys.size()); }
int64_t KeyedVectors::width() const { return state_->width; }
std::string_view KeyedVectors::key(int64_t row) const { return state_->keys.token(uint32_t(row)); }
const fs::path& KeyedVectors::file() const { return state_->file; }

std::span<const float> KeyedVectors::vector(int64_t row) const {
  return {state_->values.data() + row * state_->width, size_t(state_->width)};
}

std::span<const float> KeyedVectors::find(std::string_view key) const {
  const uint32_t at = state_->keys.find(key);
  return at == TokenIndex::kAbsent ? std::span<const float>() : vector(at);
}

std::string KeyedVectors::checksum() const { return fmt::format("{:016x}", state_->checksum); }

KeyedVectors KeyedVectors::load(const VectorSource& source) {
  INTERPLAY_CHECK(!source.from.empty(), "from: missing; expected a file with vectors by key");
  const fs::path file = source.from;
  std::string extension = file.extension().string();
  if (extension.starts_with('.')) extension.erase(0, 1);
  INTERPLAY_CHECK(vector_files().has(extension),
                  "{}: vectors by key are read from .{}; '{}' is none of these (`interplay lm embed` writes .parquet)",
                  source.from, fmt::join(vector_files().names(), ", ."), file.extension().string());
  INTERPLAY_CHECK_DATA(
      fs::exists(file),
      "{}: no such file, seen from the working directory; expected vectors by key, as `interplay lm embed` writes them",
      source.from);
  INTERPLAY_CHECK_DATA(fs::is_regular_file(file), "{}: is no file; expected vectors by key", source.from);
  KeyedVectors out = vector_files().make(source, Config::scalar(extension, true))->read();
  INTERPLAY_CHECK_DATA(out.count() > 0, "{}: holds no vector", source.from);
  return out;
}

VectorFile::~VectorFile() = default;

Registry<VectorFile, const VectorSource&>& vector_files() {
  static auto* const registry = new Registry<VectorFile, const VectorSource&>("vector file");
  return *registry;
}

std::vector<std::string> read_vector_ids(const VectorSource& source, int64_t rows) {
  const fs::path file = source.ids.empty() ? fs::path(source.from).replace_extension(".ids") : fs::path(source.ids);
  INTERPLAY_CHECK_DATA(
      fs::exists(file),
      "{}: no such file; {} has no keys of its own, and needs a text with a key a line, in the order of "
      "its rows (option `ids` names another)",
      file.string(), source.from);
  const MappedFile mapped(file);
  const std::string_view text = mapped.bytes();
  std::vector<std::string> ids;
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size());
    std::string_view line = text.substr(at, end - at);
    if (line.ends_with('\r')) line.remove_suffix(1);
    ids.emplace_back(line);
    at = end + 1;
  }
  INTERPLAY_CHECK_DATA(int64_t(ids.size()) == rows, "{}: has {} lines, {} has {} rows; expected a key a row",
                       file.string(), ids.size(), source.from, rows);
  return ids;
}

}  // namespace interplay
