#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include <interplay/base/files.h>
#include <interplay/data/encoded_batch.h>
#include <interplay/data/schema.h>

namespace interplay {

/// Writes one split as `<split>-00000.arrow`, `<split>-00001.arrow` ...: Arrow IPC files, uncompressed, in record
/// batches of kBlockRows rows. The bytes depend on the rows alone, not on how write() was fed. Used by one thread.
///
///     NewDirectory made(directory);
///     DatasetWriter writer(made.path(), "train", schema, /*weight=*/false, /*group=*/true, /*time=*/false);
///     while (...) writer.write(encoder.encode(raw, {}));
///     writer.finish();
///     Manifest::describe(made.path(), writer.entries()).save(made.path());
///
/// Files are written straight into `directory`: whoever makes that directory makes it aside and commits it whole.
class INTERPLAY_API DatasetWriter {
 public:
  static constexpr int64_t kBlockRows = 65536;           ///< rows of a record batch; 10 MB of Criteo
  static constexpr int64_t kFileRows = 32 * kBlockRows;  ///< rows of a file; 330 MB of Criteo

  /// Throws Error(config) where two columns would have one name (a sequence called `labels`, say).
  DatasetWriter(std::filesystem::path directory, std::string split, const Schema& schema, bool weight, bool group,
                bool time);
  ~DatasetWriter();  ///< without finish() the last file stays incomplete
  DatasetWriter(const DatasetWriter&) = delete;
  DatasetWriter& operator=(const DatasetWriter&) = delete;

  /// Throws Error(data) where the batch does not fit the schema (sizes, ids and offsets) or a file cannot be written.
  void write(EncodedBatch batch);
  int64_t finish();                              ///< closes the files; returns the rows. A split of 0 rows has one file
  std::vector<Manifest::Entry> entries() const;  ///< of each file, after finish(), for Manifest::describe()

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace interplay
