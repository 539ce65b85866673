#pragma once

#include <arrow/io/interfaces.h>
#include <arrow/result.h>

#include <interplay/data/reader.h>

/// What the readers share. Private: Arrow types stay below src/data.
namespace interplay {

/// A reader that leaves the parsing of its batches to next_unparsed()'s caller; next() parses them itself.
class ParsingReader : public Reader {
 public:
  bool next(RawBatch& batch) final;  ///< reports to bad_rows()

 protected:
  explicit ParsingReader(std::shared_ptr<BadRows> bad_rows)
      : bad_rows_(bad_rows ? std::move(bad_rows) : std::make_shared<BadRows>()) {}
  const std::shared_ptr<BadRows>& bad_rows() const { return bad_rows_; }

 private:
  std::shared_ptr<BadRows> bad_rows_;
};

/// A file opened for reading from its start. `raw` counts the bytes taken from disk, `bytes` gives them decompressed.
struct OpenFile {
  std::shared_ptr<arrow::io::InputStream> raw, bytes;
};

/// compression: auto (by extension, then by the first bytes) | none | gz | zst. Throws Error(data) naming the file.
OpenFile open_file(const std::filesystem::path& file, const std::string& compression = "none");

/// Throws Error(data) naming the file unless `status` is OK.
void check_arrow(const arrow::Status& status, const std::filesystem::path& file);
template <class T>
T check_arrow(arrow::Result<T> result, const std::filesystem::path& file) {
  check_arrow(result.status(), file);
  return std::move(result).ValueUnsafe();
}

/// Throws Error(data) unless this is a file that can be read again and again.
void check_file(const std::filesystem::path& file);

/// What a file that begins with these bytes is where it is no text, and what to do about it; empty for others.
std::string foreign_format(std::string_view start);
constexpr size_t kMagicBytes = 8;  ///< as many as foreign_format() looks at

/// The names that stand for one column: not those without letters or given twice, which nothing can be asked for by.
std::vector<std::string> named_once(const std::vector<std::string>& names);

/// Places of `wanted` in `available` (of all that are named once where `wanted` is empty). Throws Error(data) naming
/// the file and the nearest name where there is no such column, or more than one.
std::vector<int> find_columns(const std::vector<std::string>& available, const std::vector<std::string>& wanted,
                              const std::filesystem::path& file);

bool is_utf8(std::string_view text);

/// Drops the rows that hold bytes that are not UTF-8, telling `bad_rows`.
void drop_bad_text(RawBatch& batch, BadRows& bad_rows);

/// Throws unless there is at least one file; gives their size on disk.
int64_t total_bytes(const std::vector<std::filesystem::path>& files);

}  // namespace interplay
