#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <interplay/base/registry.h>
#include <interplay/data/raw_batch.h>

namespace interplay {

/// What to do with rows that cannot be used, and the count of those met so far. Shared by readers and encoder: a
/// reader reports rows of a wrong shape, the encoder cells that do not parse.
///
/// limit 0 (the default) stops at the first bad row with Error(data) naming file, line, column and value. Otherwise up
/// to `limit` rows are dropped and written, with the reason, to `rejected` (TSV: file, line, column, value, reason).
/// `option` is what the caller's user sets the limit with, up to the number, as "--bad-rows skip:"; messages name it.
class INTERPLAY_API BadRows {
 public:
  explicit BadRows(int64_t limit = 0, std::filesystem::path rejected = {}, std::string option = {});
  virtual ~BadRows();
  BadRows(const BadRows&) = delete;
  BadRows& operator=(const BadRows&) = delete;
  /// Throws when the limit is passed. `column` and `value` may be empty.
  virtual void report(const std::string& file, int64_t line, const std::string& column, std::string_view value,
                      const std::string& reason);
  /// Distinct rows rejected so far: a row that several passes meet is counted and written once.
  int64_t count() const;
  /// Ends the file of rejected rows and puts it in the order of files and lines, whichever pass, column or thread found
  /// them. Nothing may be reported afterwards. Error(data) where it cannot be written.
  void finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// What a reader is asked for.
struct INTERPLAY_API ReadRequest {
  std::vector<std::filesystem::path> files;  ///< in order; globs already expanded
  std::vector<std::string> columns;          ///< wanted, in this order; empty = all
  std::shared_ptr<BadRows> bad_rows;
  int64_t batch_rows = 65536;  ///< at most this many rows a batch
};

/// Streams raw rows, batch by batch, in file order. One reader is used by one thread. Formats register themselves in
/// readers(); a new one is a file in src/data and a registration.
class INTERPLAY_API Reader {
 public:
  virtual ~Reader();
  virtual std::vector<std::string> columns() const = 0;  ///< every column that the source has
  virtual bool next(RawBatch& batch) = 0;                ///< false at the end

  /// A batch that is read but not parsed: a function that any thread may call, once, while the reader lives. It reports
  /// to the BadRows it is given; the batch may have no rows.
  using Unparsed = std::function<RawBatch(BadRows&)>;
  /// As next(), leaving the work that several batches can share threads for. By default there is none to leave: rows
  /// are then reported when they are read, to ReadRequest::bad_rows.
  virtual bool next_unparsed(Unparsed& batch);
  virtual int64_t bytes_total() const = 0;  ///< size of the files, for progress; 0 = unknown
  virtual int64_t bytes_done() const = 0;
};

INTERPLAY_API Registry<Reader, const ReadRequest&>& readers();

/// Files that a pattern names (`*` and `?`), sorted; a plain path is itself, or, where it is not there, the same with
/// .gz or .zst. Throws Error(data) where nothing matches.
INTERPLAY_API std::vector<std::filesystem::path> expand_glob(const std::filesystem::path& pattern);

}  // namespace interplay
