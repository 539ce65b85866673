#include <interplay/data/reader.h>

#include <algorithm>

#include <arrow/io/compressed.h>
#include <arrow/io/file.h>
#include <arrow/util/compression.h>
#include <arrow/util/utf8.h>
#include <glob.h>

#include "data/reader_parts.h"

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
    INTERPLAY_CHECK_DATA(fs::exists(pattern), "{}: no such file{}", text, nearest_file(pattern));
    return {pattern};
  }
  std::string escaped;  // glob(3) knows [ ] and \ too; here they are letters
  for (const char c : text) {
    if (c == '[' || c == '\\') escaped += '\\';
    escaped += c;
  }
  glob_t found{};
  if (::glob(escaped.c_str(), GLOB_NOSORT, nullptr, &found) == 0) {
    for (size_t i = 0; i < found.gl_pathc; ++i) {
      if (fs::is_regular_file(found.gl_pathv[i])) files.emplace_back(found.gl_pathv[i]);
    }
  }
  ::globfree(&found);
  INTERPLAY_CHECK_DATA(!files.empty(), "{}: no file matches this pattern", text);
  std::sort(files.begin(), files.end(), [](const fs::path& a, const fs::path& b) { return a.string() < b.string(); });
  return files;
}

void check_arrow(const arrow::Status& status, const fs::path& file) {
  INTERPLAY_CHECK_DATA(status.ok(), "{}: cannot be read: {}; the file is damaged, cut, or not of the stated format",
                       file.string(), status.message());
}

OpenFile open_file(const fs::path& file, const std::string& compression) {
  INTERPLAY_CHECK_DATA(fs::exists(file), "{}: no such file{}", file.string(), nearest_file(file));
  INTERPLAY_CHECK_DATA(!fs::is_directory(file), "{}: is a directory; name its files, as in {}/*", file.string(),
                       file.string());
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

std::vector<int> find_columns(const std::vector<std::string>& available, const std::vector<std::string>& wanted,
                              const fs::path& file) {
  std::vector<int> places;
  for (const auto& name : wanted.empty() ? available : wanted) {
    const auto it = std::find(available.begin(), available.end(), name);
    if (it == available.end()) {
      const std::string close = nearest(name, available);
      throw Error(
          fmt::format("{}: there is no column '{}'{} (columns: {})", file.string(), name,
                      close.empty() ? "" : fmt::format("; did you mean '{}'?", close), fmt::join(available, ", ")),
          ErrorKind::data);
    }
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
