#include <interplay/data/reader.h>

#include <algorithm>
#include <unordered_map>

#include <arrow/io/compressed.h>
#include <arrow/io/file.h>
#include <arrow/util/compression.h>
#include <arrow/util/utf8.h>
#include <glob.h>

#include <interplay/base/log.h>

#include "data/read/parsing_reader.h"

namespace fs = std::filesystem;

namespace interplay {
namespace {

/// What a name that does not exist was perhaps meant to be.
std::string nearest_file(const fs::path& file) {
  std::vector<std::string> names;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(file.has_parent_path() ? file.parent_path() : ".", ignored)) {
    names.push_back(entry.path().filename().string());
  }
  const std::string close = nearest(file.filename().string(), names);
  return close.empty() ? "" : fmt::format("; did you mean {}?", (file.parent_path() / close).string());
}

/// Why a path that does not exist does not.
std::string absence(const fs::path& file) {
  std::error_code ignored;
  if (fs::is_symlink(file, ignored))
    return fmt::format("is a link to {}, which is not there", fs::read_symlink(file, ignored).string());
  return "no such file" + nearest_file(file);
}

arrow::Compression::type compression_of(const fs::path& file, const std::string& name, std::string_view magic) {
  using namespace std::string_view_literals;
  if (name == "gz") return arrow::Compression::GZIP;
  if (name == "zst") return arrow::Compression::ZSTD;
  if (name == "none") return arrow::Compression::UNCOMPRESSED;
  const auto extension = file.extension();
  if (extension == ".gz" || magic.starts_with("\x1f\x8b"sv)) return arrow::Compression::GZIP;
  if (extension == ".zst" || magic.starts_with("\x28\xb5\x2f\xfd"sv)) return arrow::Compression::ZSTD;
  return arrow::Compression::UNCOMPRESSED;
}

}  // namespace

Reader::~Reader() = default;

bool Reader::next_unparsed(Unparsed& unparsed) {
  const auto batch = std::make_shared<RawBatch>();
  if (!next(*batch)) return false;
  unparsed = [batch](BadRows&) { return std::move(*batch); };
  return true;
}

bool ParsingReader::next(RawBatch& batch) {
  Unparsed unparsed;
  do {
    if (!next_unparsed(unparsed)) return false;
    batch = unparsed(*bad_rows_);
  } while (batch.rows == 0);
  return true;
}

Registry<Reader, const ReadRequest&>& readers() {
  static auto* const registry = new Registry<Reader, const ReadRequest&>("format");
  return *registry;
}

std::vector<fs::path> expand_glob(const fs::path& pattern) {
  const std::string text = pattern.string();
  std::vector<fs::path> files;
  for (const char* packed : {".gz", ".zst"}) {
    if (!fs::exists(pattern) && fs::exists(text + packed)) return {text + packed};
  }
  if (fs::exists(pattern) || text.find_first_of("*?") == std::string::npos) {
    INTERPLAY_CHECK_DATA(fs::exists(pattern), "{}: {}", text, absence(pattern));
    return {pattern};
  }
  std::string escaped;  // glob(3) knows [ ] and \ too; here they are letters
  for (const char c : text) {
    if (c == '[' || c == '\\') escaped += '\\';
    escaped += c;
  }
  glob_t found{};
  const bool marks = pattern.filename().string().starts_with("_");
  if (::glob(escaped.c_str(), GLOB_NOSORT, nullptr, &found) == 0) {
    for (size_t i = 0; i < found.gl_pathc; ++i) {
      const fs::path file = found.gl_pathv[i];
      if (!fs::is_regular_file(file)) continue;
      if (!marks && file.filename().string().starts_with("_")) {  // _SUCCESS and the like, as Hadoop's readers do
        log::info("{}: left out, as names that begin with _ are marks of Spark and Hive; name it to read it",
                  file.string());
        continue;
      }
      files.push_back(file);
    }
  }
  ::globfree(&found);
  INTERPLAY_CHECK_DATA(!files.empty(), "{}: no file matches this pattern", text);
  std::sort(files.begin(), files.end(), [](const fs::path& a, const fs::path& b) { return a.string() < b.string(); });
  return files;
}

void check_file(const fs::path& file) {
  INTERPLAY_CHECK_DATA(fs::exists(file), "{}: {}", file.string(), absence(file));
  INTERPLAY_CHECK_DATA(!fs::is_directory(file), "{}: is a directory; name its files, as in {}/*", file.string(),
                       file.string());
  INTERPLAY_CHECK_DATA(fs::is_regular_file(file),
                       "{}: is a pipe or a device, but files are read more than once; copy it into a file first",
                       file.string());
}

std::string foreign_format(std::string_view start) {
  using namespace std::string_view_literals;
  constexpr std::pair<std::string_view, const char*> kKnown[] = {
      {"PAR1"sv, "is a Parquet file; set format: parquet"},
      {"PARE"sv, "is an encrypted Parquet file; write it without encryption"},
      {"PK\x03\x04"sv, "is a zip file (as .xlsx and .npz are too); unpack it first"},
      {"BZh"sv, "is packed with bzip2; unpack it, or pack it with gzip or zstd"},
      {"\xfd"
       "7zXZ\0"sv,
       "is packed with xz; unpack it, or pack it with gzip or zstd"},
      {"\x04\x22\x4d\x18"sv, "is packed with lz4; unpack it, or pack it with gzip or zstd"},
      {"7z\xbc\xaf"sv, "is a 7z archive; unpack it first"},
      {"\x1f\x8b"sv, "is packed with gzip; set compression: auto"},
      {"\x28\xb5\x2f\xfd"sv, "is packed with zstd; set compression: auto"},
      {"ARROW1"sv, "is a Feather file (Arrow IPC); write it as Parquet"},
      {"FEA1"sv, "is a Feather file; write it as Parquet"},
      {"ORC"sv, "is an ORC file; write it as Parquet"},
      {"Obj\x01"sv, "is an Avro file; write it as Parquet"},
      {"\x89HDF"sv, "is an HDF5 file; write it as Parquet"},
      {"SQLite f"sv, "is an SQLite database; write its table as csv or Parquet"},
      {"\xff\xfe"sv, "looks like UTF-16; convert it to UTF-8 first (iconv -f UTF-16 -t UTF-8)"},
      {"\xfe\xff"sv, "looks like UTF-16; convert it to UTF-8 first (iconv -f UTF-16 -t UTF-8)"},
  };
  for (const auto& [magic, what] : kKnown) {
    if (start.starts_with(magic)) return what;
  }
  for (const size_t zero : {0u, 1u}) {  // ASCII in UTF-16 without a mark: every other byte is zero
    bool every_other = start.size() >= 4;
    for (size_t i = 0; i < start.size(); ++i) every_other = every_other && (start[i] == 0) == (i % 2 == zero);
    if (every_other)
      return fmt::format("looks like UTF-16; convert it to UTF-8 first (iconv -f UTF-16{}E -t UTF-8)",
                         zero == 0 ? "B" : "L");
  }
  return "";
}

void check_arrow(const arrow::Status& status, const fs::path& file) {
  INTERPLAY_CHECK_DATA(status.message().find("requires too much memory") == std::string::npos,
                       "{}: was packed with a window of more than 128 MB (zstd --long=28 or above); pack it again "
                       "without --long",
                       file.string());
  INTERPLAY_CHECK_DATA(status.ok(), "{}: cannot be read: {}; the file is damaged, cut, or not of the stated format",
                       file.string(), status.message());
}

OpenFile open_file(const fs::path& file, const std::string& compression) {
  check_file(file);
  auto opened = arrow::io::ReadableFile::Open(file.string());
  INTERPLAY_CHECK_DATA(opened.ok(), "{}: cannot be opened: {}", file.string(), opened.status().message());
  const auto raw = *opened;
  char magic[4] = {};
  const int64_t got = check_arrow(raw->Read(sizeof magic, magic), file);
  check_arrow(raw->Seek(0), file);
  const auto type = compression_of(file, compression, {magic, size_t(got)});
  if (type == arrow::Compression::UNCOMPRESSED) return {raw, raw};
  INTERPLAY_CHECK_DATA(got > 0, "{}: is empty", file.string());
  const std::shared_ptr<arrow::util::Codec> codec = check_arrow(arrow::util::Codec::Create(type), file);
  // The stream keeps only a pointer to its codec, so the pointer to the stream keeps both.
  const auto stream = check_arrow(arrow::io::CompressedInputStream::Make(codec.get(), raw), file);
  auto* const bytes = stream.get();
  return {raw, {bytes, [codec = codec, held = stream](auto*) mutable { held.reset(); }}};
}

std::vector<std::string> named_once(const std::vector<std::string>& names) {
  std::unordered_map<std::string_view, int> times;
  for (const auto& name : names) ++times[name];
  std::vector<std::string> out;
  std::copy_if(names.begin(), names.end(), std::back_inserter(out),
               [&](const std::string& name) { return !name.empty() && times[name] == 1; });
  return out;
}

std::vector<int> find_columns(const std::vector<std::string>& available, const std::vector<std::string>& wanted,
                              const fs::path& file) {
  std::vector<int> places;
  for (const auto& name : wanted.empty() ? named_once(available) : wanted) {
    const auto it = std::find(available.begin(), available.end(), name);
    if (it == available.end()) {
      std::vector<std::string> named = available;
      std::erase(named, "");
      const std::string close = nearest(name, named);
      throw Error(fmt::format("{}: there is no column '{}'{} (columns: {})", file.string(), name,
                              close.empty() ? "" : fmt::format("; did you mean '{}'?", close), fmt::join(named, ", ")),
                  ErrorKind::data);
    }
    INTERPLAY_CHECK_DATA(std::find(it + 1, available.end(), name) == available.end(),
                         "{}: there are several columns '{}'; rename all but one", file.string(), name);
    places.push_back(int(it - available.begin()));
  }
  return places;
}

namespace {

bool is_ascii(std::string_view bytes) {
  unsigned char any = 0;
  for (const char c : bytes) any |= static_cast<unsigned char>(c);  // no early exit, so that it is vectorised
  return any < 0x80;
}

/// The first cell of each row that is not UTF-8; `bad` is marked, the row told of once.
void check_text(const RawBatch& batch, const RawColumn& column, BadRows& bad_rows, std::vector<bool>& bad) {
  const auto cells = column.is_list() ? int64_t(column.list_offsets[column.rows]) : column.rows;
  const auto first = column.is_list() ? int64_t(column.list_offsets[0]) : 0;
  const auto bytes = [&] {
    return std::string_view(column.bytes + column.offsets[first],
                            size_t(column.offsets[cells] - column.offsets[first]));
  };
  if (column.stride == 1 && is_ascii(bytes())) return;  // otherwise there are other columns' cells between
  for (int64_t row = 0; row < column.rows; ++row) {
    const int64_t begin = column.is_list() ? column.list_offsets[row] : row;
    const int64_t end = column.is_list() ? column.list_offsets[row + 1] : row + 1;
    for (int64_t c = begin; c < end && !bad[size_t(row)]; ++c) {
      if (column.missing(c) || is_utf8(column.cell(c))) continue;
      bad_rows.report(batch.file, batch.lines[size_t(row)], column.name, column.cell(c),
                      "is not UTF-8 (for Western European text set encoding: latin1)");
      bad[size_t(row)] = true;
    }
  }
}

}  // namespace

bool is_utf8(std::string_view text) {
  static const bool initialized = [] { return arrow::util::InitializeUTF8(), true; }();
  (void)initialized;
  return arrow::util::ValidateUTF8(text);
}

void drop_bad_text(RawBatch& batch, BadRows& bad_rows) {
  std::vector<bool> bad(size_t(batch.rows), false);
  for (const auto& column : batch.columns) check_text(batch, column, bad_rows, bad);
  std::vector<int64_t> good;
  for (int64_t row = 0; row < batch.rows; ++row) {
    if (!bad[size_t(row)]) good.push_back(row);
  }
  if (int64_t(good.size()) < batch.rows) batch = take_rows(batch, good);
}

int64_t total_bytes(const std::vector<fs::path>& files) {
  INTERPLAY_CHECK(!files.empty(), "no file to read is named");
  int64_t bytes = 0;
  for (const auto& file : files) {
    std::error_code absent;
    const auto size = fs::file_size(file, absent);
    if (!absent) bytes += int64_t(size);
  }
  return bytes;
}

}  // namespace interplay
