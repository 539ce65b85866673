#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <interplay/base/error.h>
#include <interplay/base/files.h>
#include <interplay/data/schema.h>

#include "data/store/row_block.h"

namespace arrow {
class Schema;
class Status;
}  // namespace arrow

namespace interplay {

/// `train-00000.arrow`
INTERPLAY_API std::string split_file_name(const std::string& split, size_t index);

/// The columns of a prepared file, in order: `ids`, `dense`, a list per sequence (and `<name>.weights`), a fixed-size
/// list per vector, two lists per text (its ids and `<name>.columns`), `labels`, `weight`, `group`, `time`; columns of
/// no width are left out. The schema's metadata holds format, fingerprint and the names behind `ids`, `dense` and
/// `labels` as JSON lists.
INTERPLAY_API std::shared_ptr<arrow::Schema> arrow_schema(const Schema& schema, RowColumns columns);

/// Throws Error(data) "<place>: <what Arrow says>" unless `status` is fine.
INTERPLAY_API void check_arrow(const arrow::Status& status, const std::string& place);

/// The checksums that a manifest keeps for a prepared file: the xxh3 of each record batch's body, in file order, then
/// one xxh3 of every other byte (magic, schema, message headers, footer), each gap between bodies seeding the next one.
INTERPLAY_API std::vector<uint64_t> block_checksums(const std::filesystem::path& file);

/// One prepared file, mapped. Everything but the bodies of the record batches is checked when it is opened, so the row
/// counts can be relied on; a body is checked by read(). All failures are Error(data) naming the file.
/// Thread safety: const functions may run concurrently.
class INTERPLAY_API ArrowFile {
 public:
  /// `known` is the file's entry in the manifest.
  ArrowFile(const std::filesystem::path& file, const Schema& schema, const Manifest::Entry& known);
  ~ArrowFile();
  ArrowFile(ArrowFile&&) noexcept;

  int64_t batches() const;
  int64_t rows(int64_t batch) const;
  RowColumns columns() const;
  void will_need(int64_t batch) const;  ///< has the system read its body ahead, in the background
  RowBlock read(int64_t batch) const;   ///< checksum, then structure, then ids and offsets; no copy

 private:
  struct State;
  std::shared_ptr<const State> state_;
};

}  // namespace interplay
