#pragma once

#include <cstdint>
#include <deque>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include <interplay/base/once.h>
#include <interplay/data/encoded_batch.h>
#include <interplay/data/schema.h>

#include "data/store/arrow_file.h"
#include "data/store/row_block.h"

namespace interplay {

/// The rows of one split, as blocks that are checked the first time they are asked for. Immutable but for that.
/// Thread safety: const functions may run concurrently.
class INTERPLAY_API RowSource {
 public:
  /// Throws Error(data) naming the file that is missing, cut, altered or does not belong to the others.
  static std::shared_ptr<const RowSource> open(const std::filesystem::path& directory, const std::string& split);
  static std::shared_ptr<const RowSource> from(const Schema& schema, std::vector<EncodedBatch> batches);
  RowSource(const RowSource&) = delete;
  RowSource& operator=(const RowSource&) = delete;

  const Schema& schema() const { return schema_; }
  const std::string& name() const { return name_; }
  RowColumns columns() const { return columns_; }
  uint64_t checksum() const { return checksum_; }  ///< of the files, by the manifest; 0 for rows in memory
  int64_t rows() const { return starts_.back(); }
  int64_t blocks() const { return int64_t(starts_.size()) - 1; }
  int64_t first_row(int64_t block) const { return starts_[size_t(block)]; }
  int64_t block_of_row(int64_t row) const;     ///< 0 <= row < rows()
  void will_need(int64_t block) const;         ///< has the system read it ahead, where it lies in a file
  const RowBlock& block(int64_t index) const;  ///< throws Error(data) naming file and batch if it is damaged

 private:
  RowSource(Schema schema, std::string name) : schema_(std::move(schema)), name_(std::move(name)) {}
  void add_file(const std::filesystem::path& file, const Manifest& manifest);

  struct Slot {
    size_t file = 0;    ///< index in files_
    int64_t batch = 0;  ///< of that file
    Once read;
    RowBlock block;
  };
  Schema schema_;
  std::string name_;
  RowColumns columns_;
  uint64_t checksum_ = 0;
  std::vector<ArrowFile> files_;       // none where the rows were given
  mutable std::deque<Slot> slots_;     // a deque, because a Once cannot be moved
  std::vector<int64_t> starts_ = {0};  // [blocks + 1]
};

}  // namespace interplay
