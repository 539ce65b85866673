#pragma once

#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <interplay/data/encoded_batch.h>
#include <interplay/data/features.h>
#include <interplay/data/schema.h>

namespace interplay {

/// One split of prepared data: read-only, memory-mapped Arrow record batches. Copies share the mapping.
/// Thread safety: all const functions may run concurrently.
///
///     const auto train = Dataset::open("prepared/criteo", "train");
///     const Batch batch = train.slice(0, 4096);
///
/// Every record batch is checked against the manifest's checksum, and its ids and offsets against the schema, the
/// first time it is touched: Error(data) names file and batch. All other bytes of the files, and schema.yaml, are
/// checked when they are opened.
class INTERPLAY_API Dataset {
 public:
  static Dataset open(const std::filesystem::path& directory, const std::string& split);
  static Dataset from(const Schema& schema, std::vector<EncodedBatch> batches);  ///< in memory: tests, Scorer
  static bool exists(const std::filesystem::path& directory, const std::string& split);

  Dataset select(
      const Schema& schema) const;  ///< only these fields and labels; throws Error if one is absent or of other rows
  const Schema& schema() const;
  int64_t rows() const;
  bool has_labels() const;  ///< rows in memory may have none
  bool has_weight() const;
  bool has_group() const;
  std::string name() const;  ///< directory/split, for messages
  /// Of the split's files as they were written, whatever was selected: other rows have another one. 0 in memory.
  uint64_t checksum() const;

  Batch slice(int64_t first, int64_t count) const;    ///< consecutive rows
  Batch gather(std::span<const int64_t> rows) const;  ///< any rows, in this order
  /// First row of each record batch as stored, then rows().
  std::vector<int64_t> blocks() const;
  /// Has the system read a record batch from the disk, in the background.
  void will_need(int64_t block) const;
  void verify() const;  ///< touches every record batch: throws where one is damaged

 private:
  struct State;
  explicit Dataset(std::shared_ptr<const State> state) : state_(std::move(state)) {}
  std::shared_ptr<const State> state_;
};

}  // namespace interplay
