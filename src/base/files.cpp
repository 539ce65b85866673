#include <interplay/base/files.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>

#include <fcntl.h>
#include <nlohmann/json.hpp>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include <interplay/base/error.h>

namespace fs = std::filesystem;

namespace interplay {
namespace {

constexpr const char* kManifest = "manifest.json";

std::string reason() { return std::strerror(errno); }

}  // namespace

std::string read_file(const fs::path& file) {
  std::ifstream in(file, std::ios::binary);
  INTERPLAY_CHECK_DATA(in.good() && !fs::is_directory(file), "{}: cannot be read: {}", file.string(),
                       fs::exists(file) ? "not a readable file" : "no such file");
  std::string bytes((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
  return bytes;
}

MappedFile::MappedFile(const fs::path& file) : path_(file) {
  const int descriptor = ::open(file.c_str(), O_RDONLY);
  INTERPLAY_CHECK_DATA(descriptor >= 0, "{}: cannot be opened: {}", file.string(), reason());
  struct stat status {};
  ::fstat(descriptor, &status);
  size_ = size_t(status.st_size);
  if (size_ > 0) {
    void* const address = ::mmap(nullptr, size_, PROT_READ, MAP_SHARED, descriptor, 0);
    const std::string why = reason();
    ::close(descriptor);
    INTERPLAY_CHECK_DATA(address != MAP_FAILED, "{}: cannot be mapped: {}", file.string(), why);
    data_ = static_cast<const char*>(address);
  } else {
    ::close(descriptor);
  }
}

MappedFile::~MappedFile() {
  if (data_) ::munmap(const_cast<char*>(data_), size_);
}

uint64_t hash64(std::string_view bytes, uint64_t seed) {
  return XXH3_64bits_withSeed(bytes.data(), bytes.size(), seed);
}

uint64_t hash64_file(const fs::path& file) {
  const MappedFile mapped(file);
  return hash64(mapped.bytes());
}

Manifest Manifest::describe(const fs::path& directory, std::vector<Entry> known,
                            const std::function<bool(const std::string&)>& include) {
  Manifest manifest;
  for (const auto& item : fs::recursive_directory_iterator(directory)) {
    if (!item.is_regular_file()) continue;
    Entry entry;
    entry.file = fs::relative(item.path(), directory).generic_string();
    if (entry.file == kManifest || (include && !include(entry.file))) continue;
    entry.bytes = int64_t(item.file_size());
    for (auto& k : known) {
      if (k.file != entry.file) continue;
      if (!k.blocks.empty() && k.bytes == entry.bytes) entry.xxh3 = k.xxh3;
      entry.blocks = std::move(k.blocks);
    }
    if (entry.xxh3 == 0) entry.xxh3 = hash64_file(item.path());
    manifest.entries_.push_back(std::move(entry));
  }
  std::sort(manifest.entries_.begin(), manifest.entries_.end(),
            [](const Entry& a, const Entry& b) { return a.file < b.file; });
  return manifest;
}

void Manifest::save(const fs::path& directory) const {
  auto files = nlohmann::ordered_json::array();
  for (const auto& entry : entries_) {
    nlohmann::ordered_json row{
        {"file", entry.file}, {"bytes", entry.bytes}, {"xxh3", fmt::format("{:016x}", entry.xxh3)}};
    if (!entry.blocks.empty()) {
      auto blocks = nlohmann::ordered_json::array();
      for (const uint64_t b : entry.blocks) blocks.push_back(fmt::format("{:016x}", b));
      row["blocks"] = std::move(blocks);
    }
    files.push_back(std::move(row));
  }
  write_file(directory / kManifest,
             nlohmann::ordered_json{{"format", format_}, {"files", std::move(files)}}.dump(1) + "\n");
}

Manifest Manifest::load(const fs::path& directory) {
  const fs::path file = directory / kManifest;
  Manifest manifest;
  try {
    const auto json = nlohmann::json::parse(read_file(file));
    manifest.format_ = json.at("format").get<int>();
    INTERPLAY_CHECK_DATA(manifest.format_ == 1 || manifest.format_ == 2,
                         "{}: format {} is not known; this version of Interplay reads formats 1 and 2", file.string(),
                         json.at("format").dump());
    const auto parse_hash = [](const nlohmann::json& text) {
      return std::stoull(text.get<std::string>(), nullptr, 16);
    };
    for (const auto& row : json.at("files")) {
      const auto& bytes = row.at("bytes");
      INTERPLAY_CHECK_DATA(bytes.is_number_integer(), "{}: {} is not a number of bytes; the directory is damaged",
                           file.string(), bytes.dump());
      Entry entry{row.at("file").get<std::string>(), bytes.get<int64_t>(), parse_hash(row.at("xxh3")), {}};
      if (row.contains("blocks")) {
        for (const auto& b : row.at("blocks")) entry.blocks.push_back(parse_hash(b));
      }
      manifest.entries_.push_back(std::move(entry));
    }
  } catch (const Error&) {
    throw;
  } catch (const std::exception& problem) {
    throw Error(
        fmt::format("{}: not a manifest ({}); the directory is damaged, make it again", file.string(), problem.what()),
        ErrorKind::data);
  }
  return manifest;
}

void Manifest::check(const fs::path& directory, bool contents) const {
  for (const auto& entry : entries_) {
    const fs::path file = directory / entry.file;
    INTERPLAY_CHECK_DATA(fs::is_regular_file(file),
                         "{}: missing, though {} lists it; restore it or make the directory again", file.string(),
                         kManifest);
    const auto bytes = int64_t(fs::file_size(file));
    INTERPLAY_CHECK_DATA(bytes == entry.bytes, "{}: {} bytes, but {} says {}; the file was cut or changed",
                         file.string(), bytes, kManifest, entry.bytes);
    INTERPLAY_CHECK_DATA(!contents || hash64_file(file) == entry.xxh3,
                         "{}: its checksum differs from {}; the file was changed after it was written", file.string(),
                         kManifest);
  }
}

void Manifest::put(const fs::path& directory, const std::string& file) {
  erase(file);
  Entry entry{file, int64_t(fs::file_size(directory / file)), hash64_file(directory / file), {}};
  const auto place = std::find_if(entries_.begin(), entries_.end(), [&](const Entry& e) { return e.file > file; });
  entries_.insert(place, std::move(entry));
}

void Manifest::erase(const std::string& file) {
  std::erase_if(entries_, [&](const Entry& entry) { return entry.file == file; });
}

const Manifest::Entry* Manifest::find(const std::string& file) const {
  for (const auto& entry : entries_) {
    if (entry.file == file) return &entry;
  }
  return nullptr;
}

}  // namespace interplay
